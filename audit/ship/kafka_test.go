package ship

import (
	"crypto/tls"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestKafka produces over TLS with SCRAM, to brokers that at first fail.
func TestKafka(t *testing.T) {
	a := newAuthority(t)
	brokers, err := kfake.NewCluster(kfake.NumBrokers(3), kfake.SeedTopics(4, "audit"), kfake.EnableSASL(),
		kfake.Superuser("SCRAM-SHA-256", "shipper", "sesame"), kfake.TLS(&tls.Config{Certificates: []tls.Certificate{a.of("kafka.example")}}))
	if err != nil {
		t.Fatal(err)
	}
	defer brokers.Close()
	var faults atomic.Int32
	brokers.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		brokers.KeepControl()
		if p := req.(*kmsg.ProduceRequest); p.Acks != -1 {
			t.Errorf("acks = %d", p.Acks)
		}
		switch faults.Add(1) {
		case 1:
			return refuse(req.(*kmsg.ProduceRequest), kerr.NotEnoughReplicas.Code), nil, true
		case 2:
			return nil, errors.New("the connection is cut"), true
		}
		return nil, nil, false
	})
	m := newLog(t)
	m.statements(500)
	trust := &tls.Config{RootCAs: a.pool, ServerName: "kafka.example"}
	k := &Kafka{Brokers: brokers.ListenAddrs(), Topic: "audit", TLS: trust, Mechanism: "scram-sha-256", User: "shipper", Password: secret("sesame")}
	if err := m.ship(sinkTo("kafka", k)); err != nil {
		t.Fatal(err)
	}
	got, partitions := consume(t, k, 1000)
	if !slices.Equal(got, upTo("audit", 0, 1000)) || len(partitions) != 1 {
		t.Errorf("there are %d records, in partitions %v: %v", len(got), partitions, got)
	}
	if faults.Load() < 3 {
		t.Errorf("there were %d requests", faults.Load())
	}
}

// refuse answers a request with a code for every partition.
func refuse(req *kmsg.ProduceRequest, code int16) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.ProduceResponse)
	for _, topic := range req.Topics {
		t := kmsg.NewProduceResponseTopic()
		t.Topic, t.TopicID = topic.Topic, topic.TopicID
		for _, partition := range topic.Partitions {
			p := kmsg.NewProduceResponseTopicPartition()
			p.Partition, p.ErrorCode = partition.Partition, code
			t.Partitions = append(t.Partitions, p)
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

// consume reads n records of the topic, by the same way as k writes.
func consume(t *testing.T, k *Kafka, n int) (got []string, partitions map[int32]bool) {
	t.Helper()
	mechanism, err := k.sasl()
	if err != nil {
		t.Fatal(err)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(k.Brokers...), kgo.ConsumeTopics(k.Topic), kgo.DialTLSConfig(k.TLS), kgo.SASL(mechanism),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := timeout(t, 20*time.Second)
	defer cancel()
	partitions = map[int32]bool{}
	for len(got) < n && ctx.Err() == nil {
		client.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			if string(r.Key) != "test.example/audit" || len(r.Headers) != 1 || r.Headers[0].Key != "uid" {
				t.Errorf("a record with the key %q and headers %v", r.Key, r.Headers)
			}
			partitions[r.Partition] = true
			got = append(got, seqOf(t, r.Value))
		})
	}
	return got, partitions
}

// TestKafkaStranger gets in neither with another password nor at a broker that
// it cannot verify.
func TestKafkaStranger(t *testing.T) {
	a, b := newAuthority(t), newAuthority(t)
	brokers, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "audit"), kfake.EnableSASL(),
		kfake.Superuser("SCRAM-SHA-512", "shipper", "sesame"), kfake.TLS(&tls.Config{Certificates: []tls.Certificate{a.of("kafka.example")}}))
	if err != nil {
		t.Fatal(err)
	}
	defer brokers.Close()
	for name, k := range map[string]*Kafka{
		"another password":  {TLS: &tls.Config{RootCAs: a.pool, ServerName: "kafka.example"}, Password: secret("open")},
		"another authority": {TLS: &tls.Config{RootCAs: b.pool, ServerName: "kafka.example"}, Password: secret("sesame")},
	} {
		t.Run(name, func(t *testing.T) {
			k.Brokers, k.Topic, k.Mechanism, k.User = brokers.ListenAddrs(), "audit", "scram-sha-512", "shipper"
			ctx, cancel := timeout(t, time.Second)
			defer cancel()
			left, err := k.Send(ctx, []Event{{Log: "l", UID: "u", Body: []byte("{}")}})
			if err == nil || len(left) != 1 {
				t.Errorf("Send = %v, %v", left, err)
			}
		})
	}
}
