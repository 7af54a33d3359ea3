// Package pmbus is what chips with a PMBus have in common: commands over SMBus,
// with or without a packet error code, numbers in the direct format, and the words
// in which a chip says what is wrong.
//
// # Model
//
// A command is one byte. [Conn] writes it and reads, or writes, a byte, a word
// (the least significant byte first) or a block (its length first). With Conn.PEC
// each transaction ends with the CRC-8 (polynomial x⁸+x²+x+1) of all its bytes, the
// addresses included: a flipped bit is then an error, [ErrPEC], in place of a wrong
// number.
//
// In the direct format a number X travels as the word Y, 16 bits with a sign, and
// [Coefficients] are a property of the chip:
//
//	Y = (M·X + B) · 10^R        X = (Y · 10^−R − B) / M
//
// # Sources
//
// PMBus 1.2 part II (sections 7.4 direct format, 17 status) and SMBus 2.0 (section
// 5.4 packet error code, 5.5 protocols), as known from Linux hwmon/pmbus and QEMU
// hw/i2c/pmbus_device.c, which agree: command codes, the bits of the status words.
// (A comment of QEMU's header says M·X − B; its code adds.)
//
// # Caveats
//
// Linear format, VOUT_MODE, process calls and group commands are left out. A Conn is
// for one goroutine. It never retries, sleeps or logs.
package pmbus
