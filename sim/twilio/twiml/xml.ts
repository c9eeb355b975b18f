// A strict reader for the part of XML that TwiML uses.
// X1: elements, attributes, text, CDATA, comments, one declaration, the five entities and numeric references; nothing else.
// X2: a document type, a processing instruction, a namespace trick or a second root is refused, never skipped.
// X3: DOCUMENT_CHARS_MAX and DEPTH_MAX bound the work.

export const DOCUMENT_CHARS_MAX = 256 * 1024
export const DEPTH_MAX = 16

export type Element = { name: string; attributes: Record<string, string>; children: Element[]; text: string }
type Parsed = { kind: 'document'; root: Element } | { kind: 'invalid'; at: number; text: string }

const NAME = /[A-Za-z_][A-Za-z0-9_.:-]*/y
const SPACE = /[ \t\r\n]*/y
const ENTITIES: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" }

class XmlError extends Error {
  readonly at: number
  constructor(at: number, text: string) {
    super(text)
    this.at = at
  }
}

class Reader {
  private at = 0
  private readonly source: string

  constructor(source: string) {
    this.source = source
  }

  document(): Element {
    if (this.source.startsWith('\uFEFF')) this.at = 1
    if (this.source.startsWith('<?xml', this.at)) this.skipPast('?>')
    this.misc()
    const root = this.element(1)
    this.misc()
    if (this.at < this.source.length) this.fail('text after the root element')
    return root
  }

  private fail(text: string): never {
    throw new XmlError(this.at, text)
  }

  private skipPast(end: string): void {
    const found = this.source.indexOf(end, this.at)
    if (found < 0) this.fail(`no ${end}`)
    this.at = found + end.length
  }

  private match(pattern: RegExp): string {
    pattern.lastIndex = this.at
    const found = pattern.exec(this.source)?.[0] ?? ''
    this.at += found.length
    return found
  }

  private expect(text: string): void {
    if (!this.source.startsWith(text, this.at)) this.fail(`expected ${text}`)
    this.at += text.length
  }

  private comment(): void {
    const found = this.source.indexOf('--', this.at + 4)
    if (found < 0 || this.source[found + 2] !== '>') this.fail('comment is not closed')
    this.at = found + 3
  }

  private misc(): void {
    this.match(SPACE)
    while (this.source.startsWith('<!--', this.at)) {
      this.comment()
      this.match(SPACE)
    }
  }

  private name(): string {
    const name = this.match(NAME)
    return name === '' ? this.fail('expected a name') : name
  }

  private attributes(): Record<string, string> {
    const attributes: Record<string, string> = {}
    for (;;) {
      const space = this.match(SPACE)
      const next = this.source[this.at]
      if (next === '>' || next === '/' || next === undefined) return attributes
      if (space === '') this.fail('expected space before an attribute')
      const name = this.name()
      this.match(SPACE)
      this.expect('=')
      this.match(SPACE)
      const quote = this.source[this.at]
      if (quote !== '"' && quote !== "'") this.fail('expected a quoted value')
      const end = this.source.indexOf(quote, this.at + 1)
      if (end < 0) this.fail('attribute value is not closed')
      const raw = this.source.slice(this.at + 1, end)
      if (raw.includes('<')) this.fail('< in an attribute value')
      if (Object.hasOwn(attributes, name)) this.fail(`attribute ${name} twice`)
      attributes[name] = this.decode(raw)
      this.at = end + 1
    }
  }

  private element(depth: number): Element {
    if (depth > DEPTH_MAX) this.fail('nested too deep')
    this.expect('<')
    const element: Element = { name: this.name(), attributes: this.attributes(), children: [], text: '' }
    if (this.source.startsWith('/>', this.at)) {
      this.at += 2
      return element
    }
    this.expect('>')
    this.content(element, depth)
    this.expect(`</${element.name}`)
    this.match(SPACE)
    this.expect('>')
    return element
  }

  private content(element: Element, depth: number): void {
    for (;;) {
      const open = this.source.indexOf('<', this.at)
      if (open < 0) this.fail(`${element.name} is not closed`)
      element.text += this.decode(this.source.slice(this.at, open))
      this.at = open
      if (this.source.startsWith('</', open)) return
      if (this.source.startsWith('<!--', open)) this.comment()
      else if (this.source.startsWith('<![CDATA[', open)) {
        this.skipPast(']]>')
        element.text += this.source.slice(open + 9, this.at - 3)
      } else element.children.push(this.element(depth + 1))
    }
  }

  private decode(raw: string): string {
    if (!raw.includes('&')) return raw
    return raw.replace(/&([^;&]{0,10};?)/g, (whole, body: string) => {
      const name = body.endsWith(';') ? body.slice(0, -1) : this.fail(`bad reference ${whole}`)
      const known = ENTITIES[name]
      if (known !== undefined) return known
      const code = /^#x[0-9a-fA-F]+$/.test(name)
        ? Number.parseInt(name.slice(2), 16)
        : /^#[0-9]+$/.test(name)
          ? Number.parseInt(name.slice(1), 10)
          : Number.NaN
      const isCharacter = code > 0 && code <= 0x10ffff && !(code >= 0xd800 && code <= 0xdfff)
      return isCharacter ? String.fromCodePoint(code) : this.fail(`unknown entity ${name}`)
    })
  }
}

/** Parses one document. */
export function parseXml(source: string): Parsed {
  if (source.length > DOCUMENT_CHARS_MAX) return { kind: 'invalid', at: DOCUMENT_CHARS_MAX, text: 'document too large' }
  try {
    return { kind: 'document', root: new Reader(source).document() }
  } catch (error) {
    if (error instanceof XmlError) return { kind: 'invalid', at: error.at, text: error.message }
    throw error
  }
}
