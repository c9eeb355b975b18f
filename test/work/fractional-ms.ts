// What leaves the plane in milliseconds is whole: receivers read it into integers, and refuse the whole record otherwise.

/** The names of all numbers in `value`, at any depth, that are named `…Ms` and are not whole. */
export function fractionalMs(value: unknown, name = ''): string[] {
  if (typeof value === 'number') return name.endsWith('Ms') && !Number.isInteger(value) ? [name] : []
  if (Array.isArray(value)) return value.flatMap((part) => fractionalMs(part, name))
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, part]) => fractionalMs(part, key))
}
