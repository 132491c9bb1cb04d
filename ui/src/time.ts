// Estimates of the time on the DSP.
import { value } from './page'
import type { Estimate, Page, Timed } from './data'

export const units = ['scalar', 'HMX', 'HVX', 'DMA']

export interface Row {
  key: string; name: string; op: string; layer: number; layers: number // layer: −1 for a group
  cycles: number; share: number; hmx: number; hvx: number; dma: number; scalar: number; dram: number
  macs: number; over: number // multiply-adds of the layers of which they are known, and these layers' cycles
  perCycle: number | null // multiply-adds per cycle of the layers whose multiply-adds are known
}

/** What layers are summed up by: each for itself, the operator's type, or so many first parts of the name. */
export type Grouping = 'layer' | 'op' | 1 | 2 | 3

/** As cost.ByPrefix: the last part of a name, the operator itself, is never among its prefix. */
export function prefixOf(name: string, parts: number): string {
  const plain = name.replace(/^[/.]+/, '')
  let at = 0, end = 0
  for (let k = 0; k < parts; k++) {
    const i = plain.slice(at).search(/[/.]/)
    if (i < 0) break
    end = at + i
    at = end + 1
  }
  return plain.slice(0, end)
}

export function rowsOf(e: Estimate, by: Grouping): Row[] {
  const l = e.layers
  const rows = new Map<string, Row>()
  l.name.forEach((name, i) => {
    const plain = l.kind[i] !== 'operator'
    const group = plain ? name : by === 'op' ? l.op[i] || '?' : by === 'layer' ? name : prefixOf(name, by)
    let key = `${plain ? 'row' : 'layer'} ${group}`
    if (by === 'layer' && rows.has(key)) key += ` ${i}` // two layers of one name stay two
    let r = rows.get(key)
    if (!r) {
      r = { key, name: group, op: plain ? '' : l.op[i], layer: by === 'layer' ? i : -1, layers: 0, cycles: 0, share: 0, hmx: 0, hvx: 0, dma: 0, scalar: 0, dram: 0, perCycle: null, macs: 0, over: 0 }
      rows.set(key, r)
    }
    r.layers++
    r.cycles += l.cycles[i]
    r.share += value(l.share[i]) ?? 0
    r.hmx += l.hmx[i]
    r.hvx += l.hvx[i]
    r.dma += l.dma[i]
    r.scalar += l.scalar[i]
    r.dram += l.dram[i]
    const macs = l.macs[i]
    if (macs !== null) { r.macs += macs; r.over += l.cycles[i] }
    r.perCycle = r.over > 0 ? r.macs / r.over : null
  })
  return [...rows.values()]
}

/** The share of time of each layer of a run; null where the estimate has no such layer. */
export function shares(page: Page, t: Timed): (number | null)[] {
  const list: (number | null)[] = page.runs[t.run].layers.name.map(() => null)
  t.layer.forEach((k, i) => { if (k >= 0) list[k] = (list[k] ?? 0) + (value(page.estimates[t.estimate].layers.share[i]) ?? 0) })
  return list
}

export function duration(us: number): string {
  return us < 1000 ? `${Number(us.toPrecision(4))} µs` : `${Number((us / 1000).toPrecision(4))} ms`
}

export function bytes(n: number): string {
  return n < 1024 ? `${n} B` : n < 2 ** 20 ? `${Number((n / 1024).toPrecision(3))} KiB` : `${Number((n / 2 ** 20).toPrecision(3))} MiB`
}

export function whole(n: number): string {
  return Math.round(n).toLocaleString('en')
}

export function percent(share: number): string {
  return `${Number((100 * share).toPrecision(3))} %`
}
