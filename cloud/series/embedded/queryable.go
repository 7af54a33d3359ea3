package embedded

import (
	"fmt"

	"github.com/prometheus/prometheus/storage"
)

var _ storage.Queryable = (*Store)(nil)

// Querier reads what lies between two times, both in milliseconds and both
// included, for readers that speak PromQL.
func (s *Store) Querier(from, to int64) (storage.Querier, error) {
	q, err := s.db.Querier(from, to)
	if err != nil {
		return nil, fmt.Errorf("read series store: %w", err)
	}
	return q, nil
}
