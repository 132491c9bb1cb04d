// The page's views: every component of the folder views, which says in its module script what it shows (View).
import type { Component } from 'svelte'
import type { View, ViewProps } from './page'

interface ViewModule { default: Component<ViewProps, {}, 'chosen' | 'look'>; view: View }

export type ShownView = View & { component: ViewModule['default'] }

export const views: ShownView[] = Object.values(import.meta.glob<ViewModule>('./views/*.svelte', { eager: true }))
  .map((m) => ({ ...m.view, component: m.default }))
  .sort((a, b) => a.rank - b.rank)
