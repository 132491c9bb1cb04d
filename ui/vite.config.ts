import { svelte } from '@sveltejs/vite-plugin-svelte'
import { defineConfig } from 'vite'
import { viteSingleFile } from 'vite-plugin-singlefile'

// One file that opens from disk: scripts and styles stand in the page itself.
export default defineConfig({
  plugins: [svelte(), viteSingleFile()],
  build: { outDir: '../internal/web/dist', emptyOutDir: false, target: 'es2023' },
})
