// The page's views. One is a component with ViewProps, an entry here, and a Go file that fills its part of the data.
import type { Component } from 'svelte'
import Device from './Device.svelte'
import Explore from './Explore.svelte'
import Layers from './Layers.svelte'
import Scores from './Scores.svelte'
import Times from './Times.svelte'
import type { Look } from './page'
import type { Page } from './data'

export interface ViewProps {
  page: Page
  chosen: number // which of the view's things is shown; it outlives the view
  look: Look // what is looked at among the layers, in all views
  onlayer: (run: number, variant: number, layer: number) => void // shows a layer among the layers
}

export interface View {
  key: string; title: string; hint: string; component: Component<ViewProps, {}, 'chosen' | 'look'>
  /** What it shows, by name and by when it was made, oldest first. */
  things: (page: Page) => { name: string; made: string }[]
  /** Whether there is anything to show; without it, whether there are things. */
  there?: (page: Page) => boolean
  /** Which thing is shown; without it, the chosen one. */
  shown?: (look: Look) => number
}

export const views: View[] = [
  { key: 'layers', title: 'Layers', hint: 'each layer of the checked models', component: Layers,
    things: (p) => p.runs.map((r) => ({ name: r.name, made: r.started })), shown: (look) => look.run },
  { key: 'scores', title: 'Scores', hint: "what quantization costs in the task's own score", component: Scores,
    things: (p) => p.evaluations.map((e) => ({ name: e.name, made: e.started })), there: (p) => p.evaluations.length + p.cycles.length > 0 },
  { key: 'time', title: 'Time', hint: 'the time on the DSP, estimated', component: Times,
    things: (p) => p.estimates.map((e) => ({ name: e.name, made: e.started })) },
  { key: 'device', title: 'Device', hint: 'the DLC on a device: where it leaves the emulator, how fast it is', component: Device,
    things: (p) => p.benchmarks.map((b) => ({ name: b.name, made: b.finished })) },
  { key: 'explore', title: 'Explore', hint: 'which few layers need more bits', component: Explore,
    things: (p) => p.explorations.map((x) => ({ name: x.name, made: x.started.replace('T', ' ') })) },
]
