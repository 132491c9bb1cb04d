import { mount } from 'svelte'
import App from './App.svelte'
import { readPage } from './page'
import './style.css'

const app = document.getElementById('app')!
readPage(document.getElementById('data')!.textContent ?? '').then(
  (page) => {
    app.replaceChildren()
    mount(App, { target: app, props: { page } })
    requestAnimationFrame(() => performance.mark('ready'))
  },
  (error: unknown) => {
    app.textContent = `This page's data cannot be read: ${error}`
  },
)
