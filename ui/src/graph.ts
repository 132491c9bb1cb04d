// The graph's layout: layers, or blocks of layers of one name prefix, placed by dagre.
import dagre from '@dagrejs/dagre'
import type { Layers } from './data'

export interface Box { x: number; y: number; w: number; h: number; layers: number[]; label: string }
export interface Edge { from: number; to: number; points: [number, number][] }
export interface Layout { boxes: Box[]; edges: Edge[]; width: number; height: number; boxOf: number[] }

/** The prefix of a layer's node that folds it into a block: its first parts, divided by / or . */
export function prefix(node: string, depth: number): string {
  const parts = node.split(/[/.]/).filter(Boolean)
  return parts.length > depth ? parts.slice(0, depth).join('/') : ''
}

/** What of a run's layers a layout depends on. */
export type Drawn = Pick<Layers, 'op' | 'node' | 'inputs' | 'dtype'>

export function layout({ op, node, inputs, dtype }: Drawn, depth: number): Layout {
  const boxes: Box[] = []
  const boxOf: number[] = []
  const byPrefix = new Map<string, number>()
  op.forEach((o, i) => {
    if (dtype[i] === 'constant') { boxOf.push(-1); return }
    const p = depth > 0 ? prefix(node[i], depth) : ''
    const known = p ? byPrefix.get(p) : undefined
    if (known !== undefined) { boxes[known].layers.push(i); boxOf.push(known); return }
    if (p) byPrefix.set(p, boxes.length)
    boxOf.push(boxes.length)
    boxes.push({ x: 0, y: 0, w: 0, h: 26, layers: [i], label: p || o })
  })
  boxes.forEach((b) => {
    if (b.layers.length > 1) b.label = `${b.label} (${b.layers.length})`
    if (b.label.length > 40) b.label = '…' + b.label.slice(-39)
    b.w = Math.max(46, b.label.length * 7 + 14)
  })
  const edges: Edge[] = []
  const seen = new Set<string>()
  inputs.forEach((list, to) => {
    for (const from of list) {
      const [a, b] = [boxOf[from], boxOf[to]]
      const key = `${a} ${b}`
      if (a < 0 || b < 0 || a === b || seen.has(key)) continue
      seen.add(key)
      edges.push({ from: a, to: b, points: [] })
    }
  })
  stack(boxes, edges)
  const [left, top] = [Math.min(...boxes.map((b) => b.x - b.w / 2)), Math.min(...boxes.map((b) => b.y - b.h / 2))]
  for (const b of boxes) { b.x -= left; b.y -= top }
  for (const e of edges) e.points = e.points.map(([x, y]) => [x - left, y - top])
  return { boxes, edges, width: Math.max(...boxes.map((b) => b.x + b.w / 2)), height: Math.max(...boxes.map((b) => b.y + b.h / 2)), boxOf }
}

const rankSep = 22

/**
 * Places the boxes piece by piece, one below the other. Pieces meet in boxes that every path goes through, which is where
 * dagre's work can be divided: its time grows faster than the graph, and its recursion overflows on deep ones.
 */
function stack(boxes: Box[], edges: Edge[]) {
  const passed = new Array<number>(boxes.length + 1).fill(0) // edges that go past a box
  for (const { from, to } of edges) {
    passed[Math.min(from, to) + 1]++
    passed[Math.max(from, to)]--
  }
  const meets: number[] = []
  for (let i = 0, past = 0; i < boxes.length; i++) {
    past += passed[i]
    if (past === 0 && i - (meets.at(-1) ?? 0) >= 100) meets.push(i)
  }
  let [first, bottom] = [0, -Infinity]
  for (const last of [...meets, boxes.length - 1]) {
    const shared = first > 0 ? { x: boxes[first].x, y: boxes[first].y } : undefined
    const numbers = Array.from({ length: last - first + 1 }, (_, i) => first + i)
    const inside = edges.filter((e) => e.from >= first && e.to >= first && e.from <= last && e.to <= last)
    try { placeByDagre(boxes, numbers, inside) } catch { placeByRank(boxes, numbers, inside) }
    if (shared) {
      const top = Math.min(...numbers.slice(1).map((i) => boxes[i].y))
      const dx = shared.x - boxes[first].x
      const dy = Math.max(shared.y - boxes[first].y, bottom + rankSep + boxes[first].h - top)
      for (const i of numbers) { boxes[i].x += dx; boxes[i].y += dy }
      for (const e of inside) {
        e.points = e.points.map(([x, y]) => [x + dx, y + dy])
        if (e.from === first) e.points[0] = [shared.x, shared.y + boxes[first].h / 2]
      }
      boxes[first].x = shared.x
      boxes[first].y = shared.y
    }
    bottom = Math.max(bottom, ...numbers.map((i) => boxes[i].y))
    first = last
  }
}

function placeByDagre(boxes: Box[], numbers: number[], edges: Edge[]) {
  const g = new dagre.graphlib.Graph()
  g.setGraph({ rankdir: 'TB', nodesep: 12, ranksep: rankSep })
  g.setDefaultEdgeLabel(() => ({}))
  for (const i of numbers) g.setNode(String(i), { width: boxes[i].w, height: boxes[i].h })
  for (const e of edges) g.setEdge(String(e.from), String(e.to))
  dagre.layout(g)
  for (const i of numbers) { const n = g.node(String(i)); boxes[i].x = n.x; boxes[i].y = n.y }
  for (const e of edges) e.points = (g.edge(String(e.from), String(e.to)).points ?? []).map((p: { x: number; y: number }): [number, number] => [p.x, p.y])
}

/** A plain layout for what dagre cannot do: each box below all that it comes from, side by side in graph order. */
function placeByRank(boxes: Box[], numbers: number[], edges: Edge[]) {
  const from = new Map<number, number[]>()
  for (const e of edges) from.set(e.to, [...(from.get(e.to) ?? []), e.from])
  const rank = new Map<number, number>()
  const right: number[] = []
  for (const i of numbers) {
    const r = Math.max(-1, ...(from.get(i) ?? []).map((f) => rank.get(f) ?? -1)) + 1
    rank.set(i, r)
    boxes[i].x = (right[r] ?? 0) + boxes[i].w / 2
    boxes[i].y = r * (rankSep + boxes[i].h)
    right[r] = boxes[i].x + boxes[i].w / 2 + 12
  }
  for (const e of edges) e.points = [[boxes[e.from].x, boxes[e.from].y + 13], [boxes[e.to].x, boxes[e.to].y - 13]]
}
