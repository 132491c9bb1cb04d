// The page's data, whose types are in data.ts: columns over the layers of a run, numbers in text, gzip, base64.
import type { Num, Page, Spread, Variant } from './data'

/** What is looked at in the runs; it outlives the view. */
export interface Look { run: number; variant: number; metric: string; scope: Scope; layer: number }

export async function readPage(text: string): Promise<Page> {
  const bytes = Uint8Array.from(atob(text.trim()), (c) => c.charCodeAt(0))
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'))
  return (await new Response(stream).json()) as Page
}

/** What a metric compares: the whole variant with float, a layer alone with float, an emulation with its simulation, the same alone. */
export type Scope = 'accumulated' | 'local' | 'twin' | 'local twin'

export function spread(v: Variant, scope: Scope, key: string): Spread | undefined {
  return v[scope][key]
}

export function value(n: Num | undefined): number | null {
  if (n === undefined || n === null) return null
  if (n === 'inf') return Infinity
  if (n === '-inf') return -Infinity
  return n
}

/** What is plotted: infinite values stand at the border of the finite ones, undefined ones are gaps. */
export function plotted(list: Num[], log: boolean): (number | null)[] {
  const numbers = list.map(value)
  const finite = numbers.filter((n): n is number => n !== null && Number.isFinite(n) && (!log || n > 0))
  const top = finite.length ? Math.max(...finite) : 1
  const bottom = finite.length ? Math.min(...finite) : log ? 1e-6 : 0
  return numbers.map((n) => {
    if (n === null) return null
    if (n === Infinity) return top
    if (n === -Infinity || (log && n <= 0)) return bottom
    return n
  })
}

export function show(n: Num | undefined): string {
  const v = value(n)
  if (v === null) return '–'
  if (!Number.isFinite(v)) return v > 0 ? 'inf' : '−inf'
  if (v !== 0 && (Math.abs(v) < 1e-4 || Math.abs(v) >= 1e6)) return v.toExponential(2)
  return Number(v.toPrecision(4)).toString()
}

/** Names come from models: what would turn the writing direction or is no character at all is shown as such. */
export function clean(name: string): string {
  return name.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, '\ufffd')
}

export function short(name: string, most = 60): string {
  const letters = [...clean(name)]
  if (letters.length <= most) return letters.join('')
  const head = Math.floor(most / 3)
  return letters.slice(0, head).join('') + '…' + letters.slice(head + 1 - most).join('')
}

/** What every view is given. */
export interface ViewProps {
  page: Page
  chosen: number // which of the view's things is shown; it outlives the view
  look: Look // what is looked at among the layers, in all views
  onlayer: (run: number, variant: number, layer: number) => void // shows a layer among the layers
}

/** What a component of the folder views says of itself, in its module script. */
export interface View {
  key: string; title: string; hint: string
  rank: number // its place among the views
  /** What it shows, by name and by when it was made, oldest first. */
  things: (page: Page) => { name: string; made: string }[]
  /** Whether there is anything to show; without it, whether there are things. */
  there?: (page: Page) => boolean
  /** Which thing is shown; without it, the chosen one. */
  shown?: (look: Look) => number
}
