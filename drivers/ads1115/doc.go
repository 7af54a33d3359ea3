// Package ads1115 reads the TI ADS1115, a converter of 16 bits and four inputs,
// over I²C, and measures mains with it through a voltage and a current
// transformer.
//
// # Model
//
// A [Dev] is the converter. In single-shot mode [Dev.Start] begins a conversion
// and [Dev.Sense] takes it when it is over ([ErrBusy] before, see
// [Rate.Longest]); in continuous mode [Dev.Configure] begins and Sense takes
// the last one. The code is signed, volts = code × range / 32768. Before each
// code Sense reads the configuration, which says that the conversion is over and
// of the right input, and that the chip was not reset in between ([ErrReset]).
//
// A [Meter] uses one converter for both transformers in turn. It never waits:
// its owner calls [Meter.Step] every [StepPeriod] with the time, which takes the
// conversion that the last Step began and begins the next one on the other
// channel. When the window is full, [Meter.Sense] computes from it what package
// mains describes: true RMS values without offset, active power, frequency.
//
// # What it can and cannot
//
// A step is three transactions, 0.335 ms at 400 kHz: 22 % of a bus for one
// meter. A conversion takes 1.16 ms ± 10 %, so each channel has 333 samples a
// second, 6.7 a cycle of 50 Hz, and a measurement takes 250 ms: too slow to be
// the only protection against a short circuit. Harmonics are averaged by the
// converter and read low: amps of a charger without power-factor correction by up
// to 8 %, of a dimmer at 135° by up to 15 %. Package mains lists all errors;
// they are tested there with computed waves and here through the registers of
// the simulated chip. On top come the chip (gain 0.15 %, its oscillator, whose
// 10 % shift volts and amps by 0.15 %, watts by 0.3 %) and the transformers.
//
// A converter without voltage transformer, or without current transformer,
// samples its one channel 667 times a second.
//
// # Sources
//
// TI ADS1113/4/5 datasheet SBAS444 and ADS1115-Q1 SBAS563: configuration
// register (power-on 0x8583 by its reset values, start bit, multiplexer, ranges),
// conversion register (zero until the first conversion), data rate ± 10 %, range
// of the inputs. Agreed with periph devices/ads1x15, esphome ads1115 and
// RobTillaart ADS1X15, which divides by 32767 (0.003 %). The words 0x52D0, 3.975
// V, and 0x52C0, 3.972 V, at ±6.144 V are test vectors of periph's driver. That
// a single conversion takes about 25 µs more, to wake up, is from TI's forum
// (1495697).
//
// # Caveats
//
//   - Not verified on silicon by this project. Calibrate each board (Trim).
//   - That the converter averages evenly over a conversion is an assumption
//     (TI shows the filter at 8 conversions a second only). It matters for
//     harmonics; that of the fundamental goes into the calibration.
//   - A pin must not be more than 0.3 V outside the supply, whatever the range.
//     Channel.Low and High tell where the circuit clips before the converter.
//   - The two comparator registers are not used: they compare one input only.
//   - A reset between the two reads of a Sense, 0.12 ms at 400 kHz, passes for one
//     conversion of 0 V; the next Sense of a continuous converter tells it.
//   - After Configure a continuous converter shows its old code until the first
//     conversion is over.
//   - A Dev or Meter is for one goroutine. It never retries, sleeps or logs.
package ads1115
