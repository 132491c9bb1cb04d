// The page's data, as internal/web writes it: columns over the layers of a run, numbers in text, gzip, base64.
import type { Benchmark } from './device'
import type { Exploration } from './explore'
import type { Cycles, Evaluation } from './scores'
import type { Estimate, Timed } from './time'

export interface Metric { key: string; title: string; unit: string; higher: boolean; log: boolean }
export interface Spread { mean: Num[]; min: Num[]; max: Num[]; worst: number[] }
/** null: not defined; strings stand for infinite values. */
export type Num = number | null | 'inf' | '-inf'
export interface Histogram { min: number; max: number; float: number[]; variant: number[]; clipped: Num }
export interface Encoding { bits: number; scale: number; offset: number; min: number; max: number; symmetric: boolean }
export interface Variant {
  name: string; text: string; verdict: string; sources: string; notes: string[]; tips: string[]
  diverges: number; birth: string; counts: Record<string, number>
  status: string[]; reason: Record<string, string>; encoding: (Encoding | null)[]
  accumulated: Record<string, Spread>; local: Record<string, Spread>
  weights: Record<string, Num[]>; activations: Record<string, Num[]>
  share: Num[]; samples: (Num[] | null)[]; histogram: Record<string, Histogram>
  whole: { layer: number; weights: Num; activations: Num }[]
  against: string; twin: Record<string, Spread>; 'local twin': Record<string, Spread>; apart: Num[]; onCPU: number[]
  operators: { op: string; layers: number; mean_steps: Num; max_steps: Num; apart: Num }[]
}
export interface Layers {
  name: string[]; node: string[]; op: string[]; dtype: string[]; shape: number[][]; inputs: number[][]; outputs: number[]
}
export interface Run {
  id: number; name: string; started: string; seconds: number; model: string; opset: number; input: string; engine: string
  diverge: number; samples: { name: string; picture: string }[]; calibration: string; localSamples: number
  warnings: string[]; layers: Layers; variants: Variant[]
}
export interface Page {
  tool: string; problems: string[]; metrics: Metric[]; runs: Run[]; evaluations: Evaluation[]; cycles: Cycles[]; images: string[]
  estimates: Estimate[]; timed: Timed[]; explorations: Exploration[]; benchmarks: Benchmark[]
}

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
