// The alarm sound: two tones, made here, repeated until somebody reacts.

let audio: AudioContext | undefined
let timer: ReturnType<typeof setInterval> | undefined

/** Browsers let a page sound only after a person touched it; call this once at start. */
export function unlockOnGesture(): void {
  const unlock = () => {
    audio ??= new AudioContext()
    void audio.resume()
  }
  window.addEventListener('pointerdown', unlock, { once: true })
  window.addEventListener('keydown', unlock, { once: true })
}

/** Whether a sound would be heard now. */
export function canSound(): boolean {
  return audio?.state === 'running'
}

function tones(): void {
  if (!audio || audio.state !== 'running') return
  const gain = audio.createGain()
  gain.connect(audio.destination)
  gain.gain.value = 0
  const start = audio.currentTime + 0.02
  for (let i = 0; i < 3; i++) {
    for (const [j, hertz] of [880, 660].entries()) {
      const at = start + i * 0.5 + j * 0.22
      const o = audio.createOscillator()
      o.type = 'triangle'
      o.frequency.value = hertz
      o.connect(gain)
      gain.gain.setValueAtTime(0, at)
      gain.gain.linearRampToValueAtTime(0.35, at + 0.02)
      gain.gain.setValueAtTime(0.35, at + 0.17)
      gain.gain.linearRampToValueAtTime(0, at + 0.2)
      o.start(at)
      o.stop(at + 0.22)
    }
  }
}

export const siren = {
  /** Sounds now and again every 8 s until silenced. */
  start(): void {
    if (timer !== undefined) return
    tones()
    timer = setInterval(tones, 8_000)
  },
  once: tones,
  stop(): void {
    clearInterval(timer)
    timer = undefined
  },
  get sounding(): boolean {
    return timer !== undefined
  },
}
