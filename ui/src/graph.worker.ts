// Lays a graph out beside the page, which stays fluid meanwhile.
import { layout, type Drawn } from './graph'

onmessage = (e: MessageEvent<{ layers: Drawn; depth: number }>) => postMessage(layout(e.data.layers, e.data.depth))
