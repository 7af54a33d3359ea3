package board_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// modules are what the board's I²C and Ethernet need, in the order of loading.
// Without gpio-mxc and anatop-regulator the Ethernet waits for ever.
const modules = "i2c-dev i2c-imx gpio-mxc anatop-regulator nvmem-imx-ocotp libphy micrel fwnode_mdio fixed_phy of_mdio selftests fec"

// runBound ends a machine that nobody ended: QEMU does not end by itself.
const runBound = 230 * time.Second

// machine is the emulated board.
type machine struct {
	tb      testing.TB
	qmp     net.Conn
	answers *json.Decoder

	mu     sync.Mutex
	serial bytes.Buffer
	news   chan struct{}
}

// fetched is the folder of kernel and busybox.
func fetched(tb testing.TB) string {
	tb.Helper()
	if os.Getenv("SHEDGUARD_BOARD") != "1" {
		tb.Skip("boots an emulated machine for two minutes: run make board")
	}
	dir, err := filepath.Abs(filepath.Join("..", "..", "build", "board"))
	if err != nil {
		tb.Fatal(err)
	}
	_, kernel := os.Stat(filepath.Join(dir, "ready"))
	_, qemu := exec.LookPath("qemu-system-arm")
	_, cpio := exec.LookPath("cpio")
	for _, err := range []error{kernel, qemu, cpio} {
		if err == nil {
			continue
		}
		tb.Fatalf("the emulated board needs QEMU, cpio and Debian's armhf kernel: run make board: %v", err)
	}
	return dir
}

// boot builds the file system of the machine around files and starts it, stopped
// before its first instruction. The chips are QEMU -device arguments.
func boot(tb testing.TB, files map[string]string, chips []string) *machine {
	tb.Helper()
	dir, work := fetched(tb), tb.TempDir()
	version, err := os.ReadFile(filepath.Join(dir, "ready"))
	if err != nil {
		tb.Fatal(err)
	}
	root := filepath.Join(work, "root")
	kernel := filepath.Join(dir, "root", "lib", "modules", strings.TrimSpace(string(version)))
	index, err := os.ReadFile(filepath.Join(kernel, "modules.dep"))
	if err != nil {
		tb.Fatal(err)
	}
	var order strings.Builder
	for name := range strings.FieldsSeq(modules) {
		at := regexp.MustCompile(`(?m)^([^:\n]*/` + regexp.QuoteMeta(name) + `\.ko):`).FindSubmatch(index)
		if at == nil {
			tb.Fatalf("module %s is not in the kernel package", name)
		}
		files[filepath.Join("modules", name+".ko")] = filepath.Join(kernel, string(at[1]))
		fmt.Fprintln(&order, name+".ko")
	}
	files["bin/busybox"] = filepath.Join(dir, "root", "bin", "busybox")
	files["init"] = "init.sh"
	for to, from := range files {
		put(tb, filepath.Join(root, to), read(tb, from))
	}
	put(tb, filepath.Join(root, "modules", "order"), []byte(order.String()))
	image := filepath.Join(work, "initrd")
	pack := exec.CommandContext(tb.Context(), "sh", "-c", `cd "$1" && find . | cpio -o -H newc --quiet >"$2"`, "sh", root, image)
	if out, err := pack.CombinedOutput(); err != nil {
		tb.Fatalf("pack the file system: %v: %s", err, out)
	}
	return start(tb, dir, work, image, chips)
}

func start(tb testing.TB, dir, work, image string, chips []string) *machine {
	tb.Helper()
	socket := filepath.Join(work, "qmp")
	args := []string{
		"-M", "sabrelite", "-smp", "1", "-m", "512M", "-display", "none", "-S", "-no-reboot",
		"-kernel", filepath.Join(dir, "vmlinuz"), "-dtb", filepath.Join(dir, "board.dtb"), "-initrd", image,
		"-append", "console=ttymxc1 loglevel=4 panic=1 board.time=" + strconv.FormatInt(time.Now().Unix()+bootTakes, 10),
		"-serial", "null", "-serial", "stdio", "-monitor", "none", "-nic", "user,id=net0", "-qmp", "unix:" + socket + ",server,nowait",
	}
	for _, c := range chips {
		args = append(args, "-device", c)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(tb.Context()), runBound)
	qemu := exec.CommandContext(ctx, "qemu-system-arm", args...)
	m := &machine{tb: tb, news: make(chan struct{}, 1)}
	out, err := qemu.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	qemu.Stderr = os.Stderr
	if err := qemu.Start(); err != nil {
		tb.Fatal(err)
	}
	var console sync.WaitGroup
	console.Go(func() { m.listen(out) })
	tb.Cleanup(func() {
		cancel()
		console.Wait()
		_ = qemu.Wait() // it was killed
		if m.qmp != nil {
			_ = m.qmp.Close() // with the machine
		}
		if tb.Failed() {
			tb.Logf("console:\n%s", m.console())
		}
	})
	for deadline := time.Now().Add(20 * time.Second); ; <-time.After(50 * time.Millisecond) {
		m.qmp, err = (&net.Dialer{}).DialContext(ctx, "unix", socket)
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			tb.Fatalf("no word from QEMU: %v", err)
		}
	}
	m.answers = json.NewDecoder(bufio.NewReader(m.qmp))
	var greeting json.RawMessage
	if err := m.answers.Decode(&greeting); err != nil {
		tb.Fatal(err)
	}
	m.do("qmp_capabilities", nil)
	return m
}

// bootTakes is how long the machine needs, in seconds of the host, until it sets
// its clock.
const bootTakes = 10

// do carries out a QMP command.
func (m *machine) do(command string, args any) {
	m.tb.Helper()
	request := map[string]any{"execute": command}
	if args != nil {
		request["arguments"] = args
	}
	b, err := json.Marshal(request)
	if err != nil {
		m.tb.Fatal(err)
	}
	if err := m.qmp.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		m.tb.Fatal(err)
	}
	if _, err := m.qmp.Write(append(b, '\n')); err != nil {
		m.tb.Fatalf("%s: %v", command, err)
	}
	for {
		var answer struct {
			Return json.RawMessage
			Error  *struct{ Desc string }
			Event  string
		}
		if err := m.answers.Decode(&answer); err != nil {
			m.tb.Fatalf("%s: %v", command, err)
		}
		switch {
		case answer.Event != "":
		case answer.Error != nil:
			m.tb.Fatalf("%s %v: %s", command, args, answer.Error.Desc)
		default:
			return
		}
	}
}

// set sets a property of a chip: what it measures.
func (m *machine) set(chip, property string, value int) {
	m.tb.Helper()
	m.do("qom-set", map[string]any{"path": "/machine/peripheral/" + chip, "property": property, "value": value})
}

// link plugs the network cable in or out.
func (m *machine) link(up bool) {
	m.tb.Helper()
	m.do("set_link", map[string]any{"name": "net0", "up": up})
}

func (m *machine) listen(out io.Reader) {
	for lines := bufio.NewScanner(out); lines.Scan(); {
		m.mu.Lock()
		m.serial.WriteString(strings.TrimRight(lines.Text(), "\r") + "\n")
		m.mu.Unlock()
		select {
		case m.news <- struct{}{}:
		default:
		}
	}
}

func (m *machine) console() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.serial.String()
}

// relays is what the relays' output register holds, as the observer in the
// machine saw it last.
func (m *machine) relays() (word uint64, seen bool) {
	all := regexp.MustCompile(`board: relays (0x[0-9a-f]+)`).FindAllStringSubmatch(m.console(), -1)
	if len(all) == 0 {
		return 0, false
	}
	word, err := strconv.ParseUint(all[len(all)-1][1], 0, 8)
	return word, err == nil
}

// awaitRelays waits until the relays' register, masked, holds want.
func (m *machine) awaitRelays(mask, want uint64, within time.Duration) {
	m.tb.Helper()
	limit := time.After(within)
	for {
		if word, seen := m.relays(); seen && word&mask == want {
			return
		}
		select {
		case <-m.news:
		case <-limit:
			word, _ := m.relays()
			m.tb.Fatalf("relays hold %#x: want %#x of %#x within %s", word, want, mask, within)
		}
	}
}

func read(tb testing.TB, path string) []byte {
	tb.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func put(tb testing.TB, path string, b []byte) {
	tb.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		tb.Fatal(err)
	}
	mode := os.FileMode(0o755)
	if strings.HasSuffix(path, ".key") {
		mode = 0o600
	}
	if err := os.WriteFile(path, b, mode); err != nil {
		tb.Fatal(err)
	}
}
