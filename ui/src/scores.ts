// Evaluations and device profiles.
import { clean, show, value } from './page'
import type { Evaluation, Num, ScoredModel } from './data'

export interface Box { x: number; y: number; w: number; h: number; class: number; score: number; kind: number }

/** What became of a box against float, by the number that stands in the data. */
export const kinds = [
  { name: 'as in float', stroke: '#56b4e9', dash: '' },
  { name: 'moved', stroke: '#e69f00', dash: '9 3' },
  { name: 'other class', stroke: '#ff9ee0', dash: '3 3' },
  { name: 'lost', stroke: '#ff4a3d', dash: '5 4' },
  { name: 'new', stroke: '#f0e442', dash: '' },
  { name: 'crowd', stroke: '#56b4e9', dash: '1 3' },
]

/** Large boxes first, so that small ones stay on top and can be pointed at. */
export function boxes(list: number[]): Box[] {
  const found: Box[] = []
  for (let i = 0; i + 6 < list.length; i += 7) {
    const [x, y, w, h, c, score, kind] = list.slice(i, i + 7)
    found.push({ x, y, w, h, class: c, score: score / 1000, kind: kinds[kind] ? kind : 0 })
  }
  return found.sort((a, b) => b.w * b.h - a.w * a.h)
}

export function className(e: Evaluation, i: number): string {
  return clean(e.classes[i] ?? `class ${i}`) || `class ${i}`
}

export function percent(n: Num | undefined): string {
  const v = value(n)
  return v === null || !Number.isFinite(v) ? show(n) : `${Number((100 * v).toPrecision(3))} %`
}

export function megabytes(bytes: number): string {
  return bytes > 0 ? `${Number((bytes / 2 ** 20).toPrecision(3))} MiB` : '–'
}

/** A drop's share of the float model's score; null if that says nothing. */
export function relative(e: Evaluation, drop: Num): number | null {
  const [d, reference] = [value(drop), value(e.models[0]?.scores[0])]
  return d === null || !reference || !Number.isFinite(d / reference) ? null : d / Math.abs(reference)
}

/** Orange for what is lost, blue for what is gained; a tenth of the float model's score is full. */
export function dropColour(share: number | null): string {
  if (share === null || Math.abs(share) < 0.001) return 'transparent'
  return `color-mix(in srgb, ${share > 0 ? '#d55e00' : '#0072b2'} ${Math.round(12 + 48 * Math.min(Math.abs(share) * 10, 1))}%, transparent)`
}

export interface Point { label: string; text: string; x: number; y: number; colour: number }

/** The models of all evaluations with the same first score; of one that was evaluated again the latest. */
export function workspaceModels(list: Evaluation[], key: string | undefined): { e: Evaluation; m: ScoredModel }[] {
  const latest = new Map<string, { e: Evaluation; m: ScoredModel }>()
  for (const e of list) if (e.columns[0]?.key === key) for (const m of e.models) latest.set(m.label, { e, m })
  return [...latest.values()]
}
