// What a plan is made of: figures, each with the assumption it rests on.

/** One figure. `value` undefined: it cannot be said, and `basis` says why. */
export type Row = { name: string; value: number | undefined; unit: string; basis: string }

export type Section = { title: string; rows: readonly Row[] }

export const row = (name: string, value: number | undefined, unit: string, basis: string): Row => ({
  name,
  value,
  unit,
  basis,
})

/** The next whole number, but for what the rounding of doubles adds: 48.000000000000007 pods are 48. */
export const roundUp = (amount: number): number => Math.ceil(amount - Math.abs(amount) * 1e-12)

/** A number as an assumption is told: no more digits than it has, and no exponent. */
export const plain = (amount: number): string => String(Number(amount.toPrecision(4)))

/** `amount` of what is counted, as English says it: "1 call", "2.5 calls". */
export const counted = (amount: number, noun: string): string => `${plain(amount)} ${noun}${amount === 1 ? '' : 's'}`
