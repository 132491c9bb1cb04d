// Explorations.
import { clean, show, value } from './page'
import type { Explored, Num, VariantChoice, VariantSpec } from './data'

export function percent(n: Num | undefined): string {
  const v = value(n)
  return v === null || !Number.isFinite(v) ? '–' : `${(100 * v).toFixed(1)} %`
}

export function choiceText(c: VariantChoice): string {
  return [c.float ? 'fp16' : '', c.bits ? `${c.bits} bits` : '', c.calibrator ? c.calibrator + (c.percentile ? `:${c.percentile}` : '') : ''].filter(Boolean).join(', ')
}

export function recipeText(r: VariantSpec): string {
  return `w${r.weight_bits}a${r.act_bits}, ${r.per_channel ? 'per-channel' : 'per-tensor'}, ${clean(r.calibrator ?? '')}${r.percentile ? `:${r.percentile}` : ''}`
}

export function priceText(x: Explored, n: Num): string {
  const v = value(n)
  if (v === null) return 'no price'
  return `${v >= 1e6 ? `${Number((v / 1e6).toPrecision(3))} M` : show(v)} ${x.price_unit === 'cycles' ? 'estimated cycles' : clean(x.price_unit)}`
}
