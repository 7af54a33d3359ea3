import type { CameraState, GatewayState, OutletState, Severity } from './api/types'

// One shape for each word, so that colour is never the only sign. 16 × 16, filled with the text colour.
export const glyphs = {
  octagon: 'M5 1h6l4 4v6l-4 4H5l-4-4V5zM7 4v5h2V4zM7 10.5v2h2v-2z',
  triangle: 'M8 1 15.5 14.5H.5zM7 6v4.5h2V6zM7 11.5v1.7h2v-1.7z',
  diamond: 'M8 .8 15.2 8 8 15.2.8 8zM7 4.5V9h2V4.5zM7 10v1.8h2V10z',
  info: 'M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1zM7 4h2v2H7zM7 7h2v5H7z',
  check: 'M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1zM6.9 11.6 3.6 8.3l1.3-1.3 2 2 4.3-4.3L12.500 6z',
  bolt: 'M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1zM8.9 3 4.500 9h3l-.6 4 4.600-6H8.400z',
  ring: 'M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1zm0 2.200a4.800 4.800 0 1 1 0 9.600 4.800 4.800 0 0 1 0-9.600z',
  dot: 'M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1z',
  minus: 'M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1zm0 1.600a5.400 5.400 0 1 1 0 10.800A5.400 5.400 0 0 1 8 2.600zM4.500 7.200h7v1.600h-7z',
  pause: 'M2 2h12v12H2zM5 4.500v7h2v-7zM9 4.500v7h2v-7z',
  cross: 'M4 1 8 5l4-4 3 3-4 4 4 4-3 3-4-4-4 4-3-3 4-4-4-4z',
  square: 'M2.500 2.500h11v11h-11z',
  question: 'M1 1h4v1.700H2.700V5H1zM11 1h4v4h-1.700V2.700H11zM1 11h1.700v2.300H5V15H1zM13.300 11H15v4h-4v-1.700h2.300zM8 3.500c-1.700 0-2.800 1-2.900 2.500h1.700c0-.6.5-1 1.200-1s1.100.4 1.100.9c0 .5-.2.7-.9 1.100C7.400 7.500 7.100 8 7.100 9v.3h1.700v-.2c0-.5.2-.7.900-1.100C10.500 7.500 11 6.900 11 5.900c0-1.400-1.200-2.400-3-2.400zM7 10.300v1.900h1.900v-1.900z',
  waves: 'M1 4c2-2 3-2 5 0s3 2 5 0l4-1v2.500c-2 2-3 2-5 0S7 3.500 5 5.500L1 6.500zM1 10c2-2 3-2 5 0s3 2 5 0l4-1v2.500c-2 2-3 2-5 0s-3-2-5 0l-4 1z',
  dashes: 'M1 6.500h3.500v3H1zM6.250 6.500h3.500v3h-3.500zM11.500 6.500H15v3h-3.500z',
  home: 'M8 1.500 15 7v7.500h-4.700V10H5.700v4.500H1V7z',
  bell: 'M8 1a1.200 1.200 0 0 0-1.200 1.200A4.700 4.700 0 0 0 3.300 6.800V10L1.800 12v.800h12.400V12l-1.500-2V6.800a4.700 4.700 0 0 0-3.500-4.600A1.200 1.200 0 0 0 8 1zM6.200 13.600a1.800 1.800 0 0 0 3.600 0z',
  gear: 'M1 2.500h14v1.700H1zM1 7.150h14v1.700H1zM1 11.800h14v1.700H1z',
  sound: 'M8 2v12L4 10.500H1v-5h3zM10 5.200c1.900 1 1.900 4.600 0 5.600zM10 2.300c5.300 1.500 5.300 9.900 0 11.400v-1.600c3.200-1.300 3.200-6.900 0-8.200z',
  mute: 'M8 2v12L4 10.500H1v-5h3zM9.800 6.300 11 5.100l1.400 1.500L13.800 5.100 15 6.300 13.600 7.900 15 9.400l-1.200 1.200-1.400-1.500-1.400 1.500-1.200-1.200 1.400-1.500z',
  send: 'M1 1.500 15.300 8 1 14.500 3 9l6.500-1L3 7z',
  plug: 'M5 1h1.700v4H5zM9.300 1H11v4H9.300zM3.200 5.800h9.600V8a4 4 0 0 1-3.900 4.300V15H7.100v-2.700A4 4 0 0 1 3.200 8z',
  list: 'M1 2.500h2.500V5H1zM5 2.900h10v1.700H5zM1 6.750h2.500v2.500H1zM5 7.150h10v1.700H5zM1 11h2.500v2.500H1zM5 11.400h10v1.700H5z',
  left: 'M10.500 2 12 3.500 7.500 8l4.500 4.500-1.500 1.500-6-6z',
  right: 'M5.500 2 4 3.500 8.500 8 4 12.500 5.500 14l6-6z',
  chart: 'M1 1h1.800v12.200H15V15H1zM4.300 10.200l3-4 2.500 2L13.300 3l1.400 1-4.500 6.600-2.600-2.100-1.900 2.700z',
  pencil: 'M11.300 1.200 14.800 4.700 5.300 14.200 1 15l.8-4.300z',
  eye: 'M8 2.800C4.300 2.800 1.500 5.600 .3 8c1.200 2.400 4 5.200 7.700 5.200s6.500-2.800 7.700-5.200C14.500 5.600 11.700 2.800 8 2.800zM8 4.600a3.400 3.400 0 1 1 0 6.800 3.400 3.400 0 0 1 0-6.800zM8 6.200a1.800 1.800 0 1 0 0 3.600 1.800 1.800 0 0 0 0-3.600z',
  blind: 'M2.700 1.400 14.600 13.300 13.300 14.600 10.700 12c-.9.500-1.800.700-2.700.7C4.300 12.700 1.500 9.900.3 7.700c.7-1.300 1.900-2.700 3.300-3.700L1.400 2.700zM6.200 3.100C10.500 1.900 14.300 5 15.700 7.700c-.6 1.100-1.500 2.300-2.600 3.200L6.200 4z',
  camera: 'M5.500 2.500h5L11.800 4.500H15v9H1v-9h3.200zM8 5.800a3 3 0 1 0 0 6 3 3 0 0 0 0-6zM8 7.300a1.500 1.500 0 1 1 0 3 1.500 1.500 0 0 1 0-3z',
} as const

export type GlyphName = keyof typeof glyphs

export const severityGlyph: Record<Severity, GlyphName> = {
  critical: 'octagon',
  major: 'triangle',
  minor: 'diamond',
  warning: 'info',
  cleared: 'check',
}

export const stateGlyph: Record<OutletState, GlyphName> = {
  unknown: 'question',
  off: 'minus',
  ready: 'ring',
  charging: 'bolt',
  full: 'check',
  suspended: 'pause',
  tripped: 'triangle',
  fault: 'octagon',
}

export const gatewayGlyph: Record<GatewayState, GlyphName> = {
  online: 'dot',
  offline: 'cross',
  silent: 'dashes',
  stopped: 'square',
  unknown: 'question',
}

export const cameraGlyph: Record<CameraState, GlyphName> = {
  sees: 'eye',
  blind: 'blind',
  lost: 'cross',
  unknown: 'question',
}
