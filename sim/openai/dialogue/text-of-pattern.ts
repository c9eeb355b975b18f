// A short text that a regular expression allows, for the plain part of the language. Rules:
// TP1: groups, choices, classes, escapes and counts are read; what stands around a place (anchors, looks) makes no text. Whoever asks
//      holds the text to the expression: one with back references or looks that matter has none here.

/** Tried in this order for one character of a class. */
const CHARACTERS = [...'aA1_-. /:@+#,;!?%&=*~$()[]{}<>|^"\'\\`']
const COUNT = /^(?:([*+?])|\{(\d+)(,?)(\d*)\})\??/
const COUNT_MAX = 1_000
/** A longer text is none. */
const TEXT_CHARACTERS_MAX = 10_000

/** A text for `pattern` in which whatever may be repeated is repeated `more` times beyond the least; undefined: this reader finds none. */
export function textOfPattern(pattern: string, more: number): string | undefined {
  const reader = new Reader(pattern, more)
  const text = reader.choice()
  return reader.isAtEnd ? text : undefined
}

class Reader {
  readonly #pattern: string
  readonly #more: number
  #at = 0

  constructor(pattern: string, more: number) {
    this.#pattern = pattern
    this.#more = more
  }

  get isAtEnd(): boolean {
    return this.#at === this.#pattern.length
  }

  /** The first of the choices that has a text. */
  choice(): string | undefined {
    let text = this.#sequence()
    while (this.#take('|')) {
      const other = this.#sequence()
      text ??= other
    }
    return text
  }

  #sequence(): string | undefined {
    let text: string | undefined = ''
    while (!this.isAtEnd && !/[|)]/.test(this.#next)) {
      const atom = this.#atom()
      const times = this.#count()
      const isNone = (atom === undefined && times > 0) || (atom ?? '').length * times > TEXT_CHARACTERS_MAX
      text = text === undefined || isNone ? undefined : text + (atom ?? '').repeat(times)
    }
    return text
  }

  get #next(): string {
    return this.#pattern.charAt(this.#at)
  }

  #take(word: string): boolean {
    if (!this.#pattern.startsWith(word, this.#at)) return false
    this.#at += word.length
    return true
  }

  #count(): number {
    const found = COUNT.exec(this.#pattern.slice(this.#at))
    if (found === null) return 1
    this.#at += found[0].length
    const [, sign, least = '', comma, most] = found
    if (sign !== undefined) return sign === '?' ? 0 : (sign === '+' ? 1 : 0) + this.#more
    const max = comma === '' ? Number(least) : most === '' ? COUNT_MAX : Number(most)
    return Math.min(Number(least) + this.#more, max, COUNT_MAX)
  }

  #atom(): string | undefined {
    if (this.#take('^') || this.#take('$')) return ''
    const look = /^\(\?<?[=!]/.exec(this.#pattern.slice(this.#at))
    if (this.#take('(')) {
      const kind = /^\?(?::|<?[=!]|<[^>]*>)/.exec(this.#pattern.slice(this.#at))
      this.#at += kind?.[0].length ?? 0
      const text = this.choice()
      this.#take(')')
      return look === null ? text : ''
    }
    if (this.#next === '[') return this.#one(/^\[\^?\]?(?:\\.|[^\]\\])*\]/s)
    if (this.#next === '\\') return this.#take('\\b') || this.#take('\\B') ? '' : this.#one(ESCAPE)
    return this.#one(/^./su)
  }

  /** One character that fits the part of the pattern which `form` finds here. */
  #one(form: RegExp): string | undefined {
    const part = form.exec(this.#pattern.slice(this.#at))?.[0]
    if (part === undefined) {
      this.#at += 1
      return undefined
    }
    this.#at += part.length
    if (part !== '.' && !/^[[\\]/.test(part)) return part
    const expression = expressionOf(`^(?:${part})$`)
    const coded = [...part.matchAll(CODE)].map((found) => String.fromCodePoint(Number.parseInt(found[1]!, 16)))
    return [...CHARACTERS, ...part, ...coded].find((character) => expression?.test(character))
  }
}

const ESCAPE = /^\\(?:u\{[0-9a-fA-F]+\}|u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|[pP]\{[^}]*\}|.)/s

/** A character by its number; a larger one is none of Unicode's. */
const CODE = /\\(?:u\{|u|x)(0{0,2}(?:10|[0-9a-fA-F])?[0-9a-fA-F]{1,4})/g

/** JSON schema's expressions are Unicode's; older ones may not be. */
export function expressionOf(pattern: string): RegExp | undefined {
  for (const flags of ['u', '']) {
    try {
      return new RegExp(pattern, flags)
    } catch {
      // The next flags may do.
    }
  }
  return undefined
}
