// Explorations, as internal/result marshals them.
import { clean, show, value, type Num } from './page'
import type { Column } from './scores'

export interface Choice { bits?: number; calibrator?: string; percentile?: number; float?: boolean }
export interface Recipe { name: string; weight_bits?: number; act_bits?: number; per_channel?: boolean; calibrator?: string; percentile?: number; bias_bits?: number }
export interface Scored {
  engine?: string; search: Num; held_out: Num; all: Num; share: Num; held_share: Num; spread: Num; by_class?: Num[]; sqnr: Num
}
export interface Changed { tensor: string; also?: string[]; layer: number; choice: Choice }
export interface ExplorePoint {
  title: string; recipe: Recipe; changed: Changed[]; wide: number; tensors: number; scored: Scored; price: Num
  estimated?: { cycles: number; lower: number; upper: number; us: number; converts: number }; on_front: boolean
}
export interface Origin { kind: string; name: string; score: Num; share: Num; price: Num; note?: string }
export interface Sensitivity {
  tensor: string; tensors: number; op: string; sqnr: Num; weights: Num; emulated: Num; local: Num; accumulated: Num; apart: Num; cycles: Num; bits: number
}
export interface Exploration {
  id: number; name: string; started: string; seconds: number; tool: string; spec: { target: number; engine: string; data: string; budget_seconds: number }
  model: { path: string }; data: string; reading: string; column: Column; classes: string[]
  pictures: { calibrating: number; searched: number; held_out: number; lost: number }
  float: Scored; price_unit: string; verdict: string; best: number; start: number; reached: boolean; limits: string[]
  points: ExplorePoint[]; origins: Origin[]; layers: Sensitivity[]; tries: number; story: string[]
  unencoded: string[]; converts: string[]; files: string[]; commands: string[]; warnings: string[]
}

export function percent(n: Num | undefined): string {
  const v = value(n)
  return v === null || !Number.isFinite(v) ? '–' : `${(100 * v).toFixed(1)} %`
}

export function choiceText(c: Choice): string {
  return [c.float ? 'fp16' : '', c.bits ? `${c.bits} bits` : '', c.calibrator ? c.calibrator + (c.percentile ? `:${c.percentile}` : '') : ''].filter(Boolean).join(', ')
}

export function recipeText(r: Recipe): string {
  return `w${r.weight_bits}a${r.act_bits}, ${r.per_channel ? 'per-channel' : 'per-tensor'}, ${clean(r.calibrator ?? '')}${r.percentile ? `:${r.percentile}` : ''}`
}

export function priceText(x: Exploration, n: Num): string {
  const v = value(n)
  if (v === null) return 'no price'
  return `${v >= 1e6 ? `${Number((v / 1e6).toPrecision(3))} M` : show(v)} ${x.price_unit === 'cycles' ? 'estimated cycles' : clean(x.price_unit)}`
}
