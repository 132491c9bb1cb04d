// Benchmarks of DLCs on devices.
import { clean, show, value } from './page'
import { percent, whole } from './time'
import type { Benchmark, DeviceLayers, Num } from './data'

/** The corners' colours; what is in none is neither slow nor wrong. */
const colours: Record<string, string> = { 'slow and wrong': '#d55e00', 'slow and harmless': '#0072b2', 'cheap and wrong': '#cc79a7' }
export const harmless = { title: 'cheap and harmless', colour: '#009e73' }

export function cornerColour(b: Benchmark, corner: number): string {
  return corner < 0 ? harmless.colour : (colours[b.corners[corner].title] ?? '#777777')
}

/** Whether anything is known of a row's error. */
export function judged(l: DeviceLayers, i: number): boolean {
  return value(l.sqnr[i]) !== null || value(l.noise[i]) !== null
}

export function cornerText(b: Benchmark, i: number): string {
  const l = b.layers
  if (value(l.cycles[i]) === null) return ''
  const corner = l.corner[i]
  if (corner >= 0) return clean(b.corners[corner].title)
  return judged(l, i) ? harmless.title : 'cheap'
}

export function rowName(l: DeviceLayers, i: number): string {
  return l.name[i] || l.layer[i]
}

export function times(n: Num): string {
  const v = value(n)
  return v === null ? '–' : show(Number(v.toPrecision(4)))
}

/** A whole number with its thousands apart, – if there is none. */
export function count(n: Num): string {
  const v = value(n)
  return v === null ? '–' : Number.isFinite(v) && Math.abs(v) < 1e15 ? whole(v) : show(v)
}

export function part(n: Num): string {
  const v = value(n)
  return v === null ? '–' : Number.isFinite(v) ? percent(v) : show(v)
}
