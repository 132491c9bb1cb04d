// The graph's layout: layers, or blocks of layers of one name prefix, placed by dagre.
import dagre from '@dagrejs/dagre'
import type { Run } from './page'

export interface Box { x: number; y: number; w: number; h: number; layers: number[]; label: string }
export interface Layout { boxes: Box[]; edges: { from: number; to: number; points: [number, number][] }[]; width: number; height: number; boxOf: number[] }

/** The prefix of a layer's node that folds it into a block: its first parts, divided by / or . */
export function prefix(node: string, depth: number): string {
  const parts = node.split(/[/.]/).filter(Boolean)
  return parts.length > depth ? parts.slice(0, depth).join('/') : ''
}

export function layout(run: Run, depth: number): Layout {
  const { op, node, inputs, dtype } = run.layers
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
  const g = new dagre.graphlib.Graph()
  g.setGraph({ rankdir: 'TB', nodesep: 12, ranksep: 22 })
  g.setDefaultEdgeLabel(() => ({}))
  boxes.forEach((b, i) => {
    if (b.layers.length > 1) b.label = `${b.label} (${b.layers.length})`
    if (b.label.length > 40) b.label = '…' + b.label.slice(-39)
    b.w = Math.max(46, b.label.length * 7 + 14)
    g.setNode(String(i), { width: b.w, height: b.h })
  })
  const seen = new Set<string>()
  inputs.forEach((list, to) => {
    for (const from of list) {
      const [a, b] = [boxOf[from], boxOf[to]]
      const key = `${a} ${b}`
      if (a < 0 || b < 0 || a === b || seen.has(key)) continue
      seen.add(key)
      g.setEdge(String(a), String(b))
    }
  })
  dagre.layout(g)
  boxes.forEach((b, i) => { const n = g.node(String(i)); b.x = n.x; b.y = n.y })
  const edges = g.edges().map((e) => ({ from: Number(e.v), to: Number(e.w), points: (g.edge(e).points ?? []).map((p: { x: number; y: number }): [number, number] => [p.x, p.y]) }))
  const size = g.graph()
  return { boxes, edges, width: size.width ?? 0, height: size.height ?? 0, boxOf }
}
