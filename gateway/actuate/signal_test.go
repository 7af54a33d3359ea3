package actuate_test

import (
	"strings"
	"testing"
	"time"

	"github.com/shedguard/shedguard/gateway/actuate"
)

// TestRhythms draws each signal over six seconds, a mark for half a second.
func TestRhythms(t *testing.T) {
	t.Parallel()
	tests := map[actuate.Signal]struct{ siren, lamp string }{
		actuate.SignalNone:           {"------------", "------------"},
		actuate.SignalUnsent:         {"------------", "##----##----"},
		actuate.SignalUnsentCritical: {"#-------#---", "##----##----"},
		actuate.SignalElectrical:     {"#-#-#-#-#-#-", "#-#-#-#-#-#-"},
		actuate.SignalFire:           {"############", "############"},
	}
	for s, want := range tests {
		var siren, lamp strings.Builder
		for i := range 12 {
			d := time.Duration(i) * 500 * time.Millisecond
			for _, out := range []struct {
				b  *strings.Builder
				on bool
			}{{&siren, s.Siren(d)}, {&lamp, s.Lamp(d)}} {
				if out.on {
					out.b.WriteByte('#')
				} else {
					out.b.WriteByte('-')
				}
			}
		}
		if siren.String() != want.siren || lamp.String() != want.lamp {
			t.Errorf("%s: siren %s, lamp %s: want %s, %s", s, siren.String(), lamp.String(), want.siren, want.lamp)
		}
		if s.Sounds() != strings.Contains(want.siren, "#") {
			t.Errorf("%s sounds: %t", s, s.Sounds())
		}
		// Whatever the moment, what sounds begins with a sound.
		if s.Sounds() && (!s.Siren(0) || !s.Siren(-time.Second)) {
			t.Errorf("%s begins with silence", s)
		}
	}
}
