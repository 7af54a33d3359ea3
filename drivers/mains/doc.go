// Package mains computes true RMS values, active power and frequency of a line
// from samples of its voltage and its current that were taken in turn.
//
// # Model
//
// A [Window] collects samples with their times; they need not be equidistant,
// and voltage and current need not be simultaneous. [Window.Measure] finds the
// rising zero crossings of the voltage (of the current, where there is no
// voltage), each interpolated between the samples around it: they give the
// frequency and the whole cycles. To the samples of each channel within these
// cycles a mean and a sine of that frequency are fitted by least squares. The
// mean is the offset that is removed. What the fit leaves are harmonics and
// noise, and
//
//	rms² = amplitude²/2 + mean square of the rest
//	watts = half the product of both amplitudes × cos of the angle between them
//
// So neither the end of the window nor the time between a voltage and a current
// sample reaches the result. A converter that averages over an aperture T lowers
// a wave of f Hz by sin(πfT)/πfT; of the fundamental that is corrected.
//
// # Errors
//
// With one converter of 860 samples a second, started every 1.5 ms for voltage
// and current in turn, over windows of 250 ms; worst over all beginnings of the
// window, of reading (watts: of volts × amps), from the tests:
//
//	sines, 45-65 Hz, offset removed   volts, amps, watts ±0.1 %, ±0.05 Hz
//	noise of 1 % RMS                  amps, watts ±0.6 %, ±0.05 Hz
//	times that jitter by ±0.2 ms      amps ±0.1 %, watts ±0.2 %, if the times are known
//	mains with 7 % distortion         volts, amps ±0.5 %, watts ±1 %
//	rectifier with capacitor, 50 Hz   amps 8 % low to 0, watts ±3 %
//	the same, 60 Hz                   amps 11 % low to 0, watts ±5 %
//	cut at 90°                        amps 6 % low to 0, watts ±3 %
//	cut at 135°                       amps 15 % low to 0, watts ±3 %
//
// Currents with many harmonics read low because the converter averages them
// away. A trip level must leave that room, or be calibrated with such a load.
//
// # Caveats
//
//   - The watts are those of the fundamental: power of voltage harmonics with
//     current harmonics is left out, at most the product of both distortions (7 %
//     by 113 % of a charger: 8 % of volts × amps at the very worst).
//   - Each channel is sampled 333 times a second. Where that is a whole multiple
//     of the frequency, harmonics fall onto the fundamental and cannot be told
//     from it: at 55.6 Hz a charger's amps are wrong by 10 % and more, at 47.6 Hz
//     the seventh harmonic is taken for an offset. Lines of 50 and 60 Hz are
//     clear of it by 2 Hz; a generator may not be.
//   - Times that are wrong by 0.1 ms turn the angle by 1.8° at 50 Hz.
//   - A clipped wave reads low and is reported, never refused: a short circuit
//     must be seen as a large current.
//   - A load that is switched within a window is spread over it.
//   - A Window is for one goroutine, 32 KB, and allocates nothing.
package mains
