package ship

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"time"
)

// Webhook posts batches, as a JSON array or as lines. Any 2xx means that the
// whole batch was taken.
type Webhook struct {
	HTTP
	Lines bool
	// Secret, when not nil, signs: Pgveil-Signature is "v1=" and HMAC-SHA256 in
	// hexadecimal of Pgveil-Timestamp (seconds since 1970), a dot, and the body.
	Secret func() (string, error)
}

func (w *Webhook) Send(ctx context.Context, batch []Event) (left []Event, err error) {
	var body bytes.Buffer
	contentType, open, between, end := "application/json", "[", ",\n", "]\n"
	if w.Lines {
		contentType, open, between, end = "application/x-ndjson", "", "\n", "\n"
	}
	body.WriteString(open)
	for i, e := range batch {
		if i > 0 {
			body.WriteString(between)
		}
		body.Write(e.Body)
	}
	body.WriteString(end)
	headers, err := w.sign(body.Bytes())
	if err != nil {
		return batch, err
	}
	if _, err := w.post(ctx, "", contentType, body.Bytes(), headers); err != nil {
		return batch, err
	}
	return nil, nil
}

func (w *Webhook) sign(body []byte) (map[string]string, error) {
	if w.Secret == nil {
		return nil, nil
	}
	secret, err := w.Secret()
	if err != nil {
		return nil, err
	}
	at := strconv.FormatInt(time.Now().Unix(), 10)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(at + "."))
	mac.Write(body)
	return map[string]string{"Pgveil-Timestamp": at, "Pgveil-Signature": "v1=" + hex.EncodeToString(mac.Sum(nil))}, nil
}
