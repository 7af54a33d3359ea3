// Chromium as the tests use it. SHEDGUARD_CHROMIUM names another binary.

import { chromium } from 'playwright-core'

const options = {
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
}

export function launch() {
  return chromium.launch(options)
}

/** A browser with a profile of its own in a folder, as a person has it, instead of a private window. */
export function launchInstalled(profile) {
  return chromium.launchPersistentContext(profile, options)
}
