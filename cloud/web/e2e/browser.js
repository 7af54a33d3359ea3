// Chromium as the tests use it. SHEDGUARD_CHROMIUM names another binary.

import { chromium } from 'playwright-core'

export function launch() {
  return chromium.launch({
    executablePath: process.env.SHEDGUARD_CHROMIUM ?? '/usr/bin/chromium',
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  })
}
