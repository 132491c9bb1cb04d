// Cividis, a scale that people with colour-blindness read like others (Nuñez, Anderton, Renslow 2018), and series colours
// that stay apart for them (Okabe, Ito 2008).
const cividis = [
  [0, 34, 78], [18, 53, 112], [59, 73, 107], [87, 93, 109], [112, 113, 115],
  [138, 134, 120], [165, 156, 116], [195, 179, 105], [225, 204, 85], [254, 232, 56],
]

/** t from 0 (good, dark) to 1 (bad, bright). */
export function heat(t: number): string {
  const x = Math.min(Math.max(t, 0), 1) * (cividis.length - 1)
  const i = Math.min(Math.floor(x), cividis.length - 2)
  const [a, b, f] = [cividis[i], cividis[i + 1], x - i]
  return `rgb(${a.map((c, k) => Math.round(c + (b[k] - c) * f)).join(',')})`
}

export function ink(t: number): string {
  return t > 0.55 ? '#111' : '#fff'
}

export const series = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#8a6d00', '#777777']

export function seriesColour(i: number): string {
  return series[i % series.length]
}
