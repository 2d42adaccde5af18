package ship

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Splunk sends batches to an HTTP Event Collector. With Ack a batch was taken
// when the indexer says so; without, when the collector has it in memory.
type Splunk struct {
	HTTP       // the address of the collector, without a path
	Index      string
	Source     string
	SourceType string
	Host       string
	Ack        bool

	channel string
}

// splunkEvent is what the collector calls an event: the time apart from it, so
// that it must not be looked for.
type splunkEvent struct {
	Time       json.Number       `json:"time"`
	Host       string            `json:"host,omitempty"`
	Source     string            `json:"source,omitempty"`
	SourceType string            `json:"sourcetype,omitempty"`
	Index      string            `json:"index,omitempty"`
	Event      json.RawMessage   `json:"event"`
	Fields     map[string]string `json:"fields"`
}

func (s *Splunk) Send(ctx context.Context, batch []Event) (left []Event, err error) {
	var body bytes.Buffer
	for _, e := range batch {
		at := e.Record.Time
		text, err := json.Marshal(splunkEvent{
			Time: json.Number(fmt.Sprintf("%d.%06d", at.Unix(), at.Nanosecond()/1000)), Host: s.Host, Source: s.Source, SourceType: s.SourceType, Index: s.Index,
			Event: e.Body, Fields: map[string]string{"pgveil_uid": e.UID},
		})
		if err != nil {
			return batch, err
		}
		body.Write(append(text, '\n'))
	}
	if err := s.send(ctx, body.Bytes()); err != nil {
		return batch, err
	}
	return nil, nil
}

// splunkAnswer is what the collector says: code 0 is success.
type splunkAnswer struct {
	Text string `json:"text"`
	Code *int   `json:"code"`
	Ack  *int64 `json:"ackId"`
}

func (s *Splunk) send(ctx context.Context, body []byte) error {
	answer, err := s.post(ctx, "/services/collector/event", "application/json", body, s.headers())
	if err != nil {
		return err
	}
	var said splunkAnswer
	if err := decode(answer, &said); err != nil {
		return err
	}
	switch {
	case said.Code == nil || *said.Code != 0:
		return fmt.Errorf("the collector did not say that it was taken: %s", excerpt(answer))
	case !s.Ack:
		return nil
	case said.Ack == nil:
		return errors.New("the collector gives no ackId: the token has no indexer acknowledgment")
	}
	return s.acknowledged(ctx, *said.Ack)
}

func (s *Splunk) headers() map[string]string {
	if !s.Ack {
		return nil
	}
	if s.channel == "" {
		var b [16]byte
		_, _ = rand.Read(b[:]) // it never fails
		s.channel = fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
	}
	return map[string]string{"X-Splunk-Request-Channel": s.channel}
}

// acknowledged asks until the indexer has what was sent. What it does not have
// in time is sent again: in a channel of its own, for ids of this one may be
// lost.
func (s *Splunk) acknowledged(ctx context.Context, id int64) error {
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		answer, err := s.post(ctx, "/services/collector/ack?channel="+s.channel, "application/json", fmt.Appendf(nil, `{"acks":[%d]}`, id), s.headers())
		if err == nil {
			var said struct {
				Acks map[string]bool `json:"acks"`
			}
			if err = decode(answer, &said); err == nil && said.Acks[fmt.Sprint(id)] {
				return nil
			}
		}
		if err != nil {
			s.channel = ""
			return fmt.Errorf("asking for the acknowledgement: %w", err)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			s.channel = ""
			return fmt.Errorf("the indexer did not acknowledge: %w", ctx.Err())
		}
	}
}
