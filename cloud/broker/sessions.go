package broker

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/storage"
	"github.com/mochi-mqtt/server/v2/hooks/storage/bolt"
	"github.com/mochi-mqtt/server/v2/packets"
	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// sessions is the library's bolt hook without its faults: it stores only what
// belongs to persistent sessions, and gives queued messages their ids back.
type sessions struct{ *bolt.Hook }

// Provides says which calls the hook wants.
func (s *sessions) Provides(b byte) bool {
	return b != mqtt.OnSysInfoTick && b != mqtt.StoredSysInfo && s.Hook.Provides(b)
}

func passing(cl *mqtt.Client) bool {
	return cl.Properties.Clean && cl.Properties.ProtocolVersion < 5
}

// OnSessionEstablished stores a client.
func (s *sessions) OnSessionEstablished(cl *mqtt.Client, pk packets.Packet) {
	if !passing(cl) {
		s.Hook.OnSessionEstablished(cl, pk)
	}
}

// OnWillSent stores that a client's will is gone.
func (s *sessions) OnWillSent(cl *mqtt.Client, pk packets.Packet) {
	if !passing(cl) {
		s.Hook.OnWillSent(cl, pk)
	}
}

// OnSubscribed stores the subscriptions that were granted.
func (s *sessions) OnSubscribed(cl *mqtt.Client, pk packets.Packet, codes []byte) {
	if passing(cl) {
		return
	}
	granted := pk
	granted.Filters = nil
	var with []byte
	for i, f := range pk.Filters {
		if codes[i] <= packets.CodeGrantedQos2.Code {
			granted.Filters = append(granted.Filters, f)
			with = append(with, codes[i])
		}
	}
	s.Hook.OnSubscribed(cl, granted, with)
}

// OnUnsubscribed forgets subscriptions.
func (s *sessions) OnUnsubscribed(cl *mqtt.Client, pk packets.Packet) {
	if !passing(cl) {
		s.Hook.OnUnsubscribed(cl, pk)
	}
}

// OnDisconnect forgets a client whose session ends.
func (s *sessions) OnDisconnect(cl *mqtt.Client, err error, expire bool) {
	if !passing(cl) {
		s.Hook.OnDisconnect(cl, err, expire)
	}
}

// OnQosPublish stores a message of a session's queue, once.
func (s *sessions) OnQosPublish(cl *mqtt.Client, pk packets.Packet, sent int64, resends int) {
	if !passing(cl) && pk.FixedHeader.Type == packets.Publish && !pk.FixedHeader.Dup {
		s.Hook.OnQosPublish(cl, pk, sent, resends)
	}
}

// OnQosComplete forgets a message that its subscriber acknowledged.
func (s *sessions) OnQosComplete(cl *mqtt.Client, pk packets.Packet) {
	if !passing(cl) {
		s.Hook.OnQosComplete(cl, pk)
	}
}

// OnQosDropped forgets a message that was given up. When a new connection takes
// a session over, the library gives the old one's queue up after it was copied:
// the messages live on, and so must what is stored of them.
func (s *sessions) OnQosDropped(cl *mqtt.Client, pk packets.Packet) {
	if !cl.IsTakenOver() {
		s.OnQosComplete(cl, pk)
	}
}

// StoredInflightMessages reads the queues. The library stores a message under
// its id and forgets to store the id itself.
func (s *sessions) StoredInflightMessages() ([]storage.Message, error) {
	all, err := s.Hook.StoredInflightMessages()
	if err != nil {
		return nil, err
	}
	for i := range all {
		n, err := strconv.ParseUint(all[i].ID[strings.LastIndexByte(all[i].ID, ':')+1:], 10, 16)
		if err != nil {
			return nil, fmt.Errorf("queued message %q: packet id: %w", all[i].ID, err)
		}
		all[i].PacketID = uint16(n)
	}
	return all, nil
}

// mend sets the file at path aside when it cannot be read to the end.
func mend(path string, log *slog.Logger) (setAside bool, err error) {
	bad := check(path)
	if bad == nil {
		return false, nil
	}
	if errors.Is(bad, bolterrors.ErrTimeout) || errors.Is(bad, os.ErrPermission) {
		return false, fmt.Errorf("open %s: %w", path, bad)
	}
	aside := path + ".corrupt-" + time.Now().UTC().Format("20060102T150405.000")
	if err := os.Rename(path, aside); err != nil {
		return false, fmt.Errorf("set aside: %w", errors.Join(bad, err))
	}
	log.Error("broker file is damaged, set it aside", "err", bad, "file", aside)
	return true, nil
}

// check reads the whole file.
func check(path string) (err error) {
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("database panicked: %v", p)
		}
	}()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return db.View(func(tx *bbolt.Tx) error {
		var errs []error
		for err := range tx.Check() {
			errs = append(errs, err)
		}
		if len(errs) > 0 {
			return errors.Join(errs...)
		}
		return tx.ForEach(func(_ []byte, bucket *bbolt.Bucket) error {
			return bucket.ForEach(func(k, v []byte) error {
				if !json.Valid(v) {
					return fmt.Errorf("key %q does not hold JSON", k)
				}
				return nil
			})
		})
	})
}
