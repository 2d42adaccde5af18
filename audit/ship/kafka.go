package ship

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	saslplain "github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// Kafka produces to a topic. A record was taken when all replicas in sync have
// it. Its key is the name of the log's chain, so that all of one are in one
// partition, in order. The producer is idempotent: within a connection's life
// nothing is there twice.
type Kafka struct {
	Brokers   []string
	Topic     string
	TLS       *tls.Config // nil: in clear
	Mechanism string      // "", plain, scram-sha-256 or scram-sha-512
	User      string
	Password  func() (string, error)

	client *kgo.Client
}

func (k *Kafka) Limit() int { return 0 }

func (k *Kafka) Close() error {
	if k.client != nil {
		k.client.Close()
		k.client = nil
	}
	return nil
}

func (k *Kafka) Send(ctx context.Context, batch []Event) (left []Event, err error) {
	if err := k.connect(); err != nil {
		return batch, err
	}
	records := make([]*kgo.Record, len(batch))
	for i, e := range batch {
		records[i] = &kgo.Record{Key: []byte(e.Log), Value: e.Body, Timestamp: e.Record.Time, Headers: []kgo.RecordHeader{{Key: "uid", Value: []byte(e.UID)}}}
	}
	failed := map[*kgo.Record]error{}
	for _, r := range k.client.ProduceSync(ctx, records...) {
		failed[r.Record] = r.Err
	}
	var refused Refused
	for i, r := range records {
		switch rerr := failed[r]; {
		case rerr == nil:
		case errors.Is(rerr, kerr.MessageTooLarge):
			refused.Events, refused.Why = append(refused.Events, batch[i]), rerr.Error()
		default:
			left, err = append(left, batch[i]), rerr
		}
	}
	if len(left) > 0 { // a new client asks anew where the brokers are, and for the password
		err = errors.Join(err, k.Close())
	}
	if len(refused.Events) > 0 {
		return left, &refused
	}
	return left, err
}

func (k *Kafka) connect() (err error) {
	if k.client != nil {
		return nil
	}
	options := []kgo.Opt{
		kgo.SeedBrokers(k.Brokers...), kgo.DefaultProduceTopic(k.Topic), kgo.RequiredAcks(kgo.AllISRAcks()), kgo.ClientID("pgveil"),
		kgo.AllowIdempotentProduceCancellation(), // a broker that never answers must not hold a try beyond its time
	}
	if k.TLS != nil {
		options = append(options, kgo.DialTLSConfig(k.TLS))
	}
	if k.Mechanism != "" {
		mechanism, err := k.sasl()
		if err != nil {
			return err
		}
		options = append(options, kgo.SASL(mechanism))
	}
	k.client, err = kgo.NewClient(options...)
	return err
}

func (k *Kafka) sasl() (sasl.Mechanism, error) {
	password, err := k.Password()
	if err != nil {
		return nil, err
	}
	switch k.Mechanism {
	case "plain":
		return saslplain.Auth{User: k.User, Pass: password}.AsMechanism(), nil
	case "scram-sha-256":
		return scram.Auth{User: k.User, Pass: password}.AsSha256Mechanism(), nil
	case "scram-sha-512":
		return scram.Auth{User: k.User, Pass: password}.AsSha512Mechanism(), nil
	default:
		return nil, fmt.Errorf("%q is no mechanism", k.Mechanism)
	}
}
