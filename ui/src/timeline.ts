// A timeline's pixels. A lane is one row of pixels, which the canvas stretches: a frame costs the events in sight and the
// pixels, however many events fall into one of them.
import { series } from './colour'
import type { Estimate, Lanes } from './data'

/** Events with absolute times. first and last bound each lane's; reach is the latest end in a lane up to an event. */
export interface Events { start: Float64Array; end: Float64Array; reach: Float64Array; first: number[]; last: number[]; still: number }

export function unpack(l: Lanes): Events {
  const n = l.start.length
  const e: Events = { start: new Float64Array(n), end: new Float64Array(n), reach: new Float64Array(n), first: [], last: [], still: 0 }
  let i = 0
  for (const count of l.events) {
    e.first.push(i)
    let [at, reach] = [0, 0]
    for (const to = i + count; i < to; i++) {
      at += l.start[i]
      reach = Math.max(reach, at + l.dur[i])
      e.start[i] = at
      e.end[i] = at + l.dur[i]
      e.reach[i] = reach
      if (l.dur[i] === 0) e.still++
    }
    e.last.push(i)
  }
  return e
}

/** The first event of a lane that ends after a moment. */
export function firstAfter(e: Events, lane: number, moment: number): number {
  let [lo, hi] = [e.first[lane], e.last[lane]]
  while (lo < hi) {
    const mid = (lo + hi) >> 1
    if (e.reach[mid] > moment) hi = mid
    else lo = mid + 1
  }
  return lo
}

export interface Strip { winner: Int32Array; busy: Float32Array; wide: number[]; seen: number }

/** Which event each pixel of a lane shows, the one that fills most of it, how full the pixel is, and the events that are wide. */
export function strip(e: Events, lane: number, from: number, to: number, width: number, s: Strip, wideFrom: number) {
  s.winner.fill(-1)
  s.busy.fill(0)
  s.wide.length = 0
  s.seen = 0
  const best = new Float32Array(width)
  const scale = width / (to - from)
  const put = (p: number, cover: number, i: number) => {
    s.busy[p] += cover
    if (cover > best[p]) { best[p] = cover; s.winner[p] = i }
  }
  for (let i = firstAfter(e, lane, from); i < e.last[lane] && e.start[i] < to; i++) {
    if (e.end[i] <= from) continue
    s.seen++
    const a = Math.max((e.start[i] - from) * scale, 0)
    const b = Math.min((e.end[i] - from) * scale, width)
    const [p, q] = [Math.floor(a), Math.min(Math.floor(b), width - 1)]
    if (p >= width) continue
    if (p === q) { put(p, b - a, i); continue }
    put(p, p + 1 - a, i)
    for (let k = p + 1; k < q; k++) put(k, 1, i)
    put(q, Math.min(b - q, 1), i)
    if (b - a >= wideFrom) s.wide.push(i)
  }
}

/** The pixels of a strip as a canvas has them, 0xAABBGGRR; layers that are not the chosen one are pale if there is one. */
export function colourStrip(s: Strip, layer: number[], colours: Uint32Array, chosen: number, out: Uint32Array) {
  for (let p = 0; p < out.length; p++) {
    const i = s.winner[p]
    if (i < 0) { out[p] = 0; continue }
    let alpha = 0.35 + 0.65 * Math.min(s.busy[p], 1)
    if (chosen >= 0 && layer[i] !== chosen) alpha *= 0.35
    // A line between neighbours that are wide enough to have one.
    if (p + 1 < out.length && s.winner[p + 1] !== i && p > 4 && s.winner[p - 4] === i) alpha *= 0.45
    out[p] = ((Math.round(alpha * 255) << 24) | (colours[layer[i] + 1] & 0xffffff)) >>> 0
  }
}

function pack(r: number, g: number, b: number): number {
  return (Math.round(b) << 16) | (Math.round(g) << 8) | Math.round(r)
}

export function css(colour: number): string {
  return `rgb(${colour & 255},${(colour >> 8) & 255},${(colour >> 16) & 255})`
}

/** What is written on a colour. */
export function inkOn(colour: number): string {
  return 0.299 * (colour & 255) + 0.587 * ((colour >> 8) & 255) + 0.114 * ((colour >> 16) & 255) > 140 ? '#111' : '#fff'
}

function hsl(h: number, s: number, l: number): number {
  const f = (n: number) => {
    const k = (n + h / 30) % 12
    return 255 * (l - s * Math.min(l, 1 - l) * Math.max(-1, Math.min(k - 3, 9 - k, 1)))
  }
  return pack(f(0), f(8), f(4))
}

/** A colour for each layer, apart from its neighbours'; the first entry is for events of none. */
export function layerColours(e: Estimate): Uint32Array {
  const list = new Uint32Array(e.layers.name.length + 1)
  list[0] = pack(119, 119, 119)
  e.layers.kind.forEach((kind, i) => { list[i + 1] = kind === 'operator' ? hsl((i * 137.508) % 360, 0.6, [0.42, 0.55, 0.68][i % 3]) : pack(119, 119, 119) })
  return list
}

/** The types that take most time have colours of their own. */
export function topTypes(e: Estimate): { op: string; colour: string }[] {
  const cycles = new Map<string, number>()
  e.layers.op.forEach((op, i) => { if (e.layers.kind[i] === 'operator') cycles.set(op || '?', (cycles.get(op || '?') ?? 0) + e.layers.cycles[i]) })
  const colours = series.slice(0, -1)
  return [...cycles].filter(([, c]) => c > 0).sort((a, b) => b[1] - a[1]).slice(0, colours.length).map(([op], i) => ({ op, colour: colours[i] }))
}

export function typeColours(e: Estimate): Uint32Array {
  const colourOf = new Map(topTypes(e).map((t) => [t.op, t.colour]))
  const list = new Uint32Array(e.layers.name.length + 1).fill(pack(119, 119, 119))
  e.layers.op.forEach((op, i) => {
    const c = e.layers.kind[i] === 'operator' ? colourOf.get(op || '?') : undefined
    if (c) list[i + 1] = pack(parseInt(c.slice(1, 3), 16), parseInt(c.slice(3, 5), 16), parseInt(c.slice(5, 7), 16))
  })
  return list
}

/** Round moments between two others, about so many. */
export function ticks(from: number, to: number, many: number): number[] {
  const raw = (to - from) / Math.max(many, 1)
  const unit = 10 ** Math.floor(Math.log10(raw))
  const step = [1, 2, 5, 10].map((n) => n * unit).find((n) => n >= raw) ?? raw
  const list: number[] = []
  for (let k = Math.ceil(from / step); k * step <= to; k++) list.push(k * step)
  return list
}
