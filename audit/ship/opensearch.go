package ship

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// OpenSearch indexes batches by the _bulk interface, which Elasticsearch has as
// well. A document's _id is the event's UID, so one that is sent again takes its
// own place.
type OpenSearch struct {
	HTTP
	Index  string // {day} and {month} stand for those of the record: 2026.11.22, 2026.11
	Create bool   // documents are only ever added, as a data stream demands
}

func (o *OpenSearch) action() string {
	if o.Create {
		return "create"
	}
	return "index"
}

func (o *OpenSearch) index(at time.Time) string {
	at = at.UTC()
	return strings.NewReplacer("{day}", at.Format("2006.01.02"), "{month}", at.Format("2006.01")).Replace(o.Index)
}

func (o *OpenSearch) Send(ctx context.Context, batch []Event) (left []Event, err error) {
	var body bytes.Buffer
	for _, e := range batch {
		line, err := json.Marshal(map[string]any{o.action(): map[string]string{"_index": o.index(e.Record.Time), "_id": e.UID}})
		if err != nil {
			return batch, err
		}
		for _, text := range [][]byte{line, e.Body} {
			body.Write(text)
			body.WriteByte('\n')
		}
	}
	answer, err := o.post(ctx, "/_bulk", "application/x-ndjson", body.Bytes(), nil)
	if err != nil {
		return batch, err
	}
	return o.judge(batch, answer)
}

// bulkItem is what became of one document.
type bulkItem struct {
	ID     string `json:"_id"`
	Status int    `json:"status"`
	Error  struct {
		Type   string `json:"type"`
		Reason string `json:"reason"`
	} `json:"error"`
}

// judge reads the answer to a bulk request, which is a success as a whole though
// none of its items may be.
func (o *OpenSearch) judge(batch []Event, answer []byte) (left []Event, err error) {
	var said struct {
		Items []map[string]bulkItem `json:"items"`
	}
	if err := decode(answer, &said); err != nil {
		return batch, err
	}
	if len(said.Items) != len(batch) {
		return batch, fmt.Errorf("the answer is about %d documents of %d: %s", len(said.Items), len(batch), excerpt(answer))
	}
	var refused Refused
	var why error
	for i, outer := range said.Items {
		item, ok := outer[o.action()]
		problem := fmt.Sprintf("document %d: status %d: %s: %s", batch[i].Record.Seq, item.Status, excerpt([]byte(item.Error.Type)), excerpt([]byte(item.Error.Reason)))
		switch {
		case !ok || item.ID != batch[i].UID:
			return batch, fmt.Errorf("item %d of the answer is about another document", i)
		case item.Status/100 == 2, o.Create && item.Status == http.StatusConflict: // it is there already
		case item.Status == http.StatusBadRequest || item.Status == http.StatusRequestEntityTooLarge:
			refused.Events, refused.Why = append(refused.Events, batch[i]), problem
		default: // it is busy, or something about it must be put right
			left, why = append(left, batch[i]), errors.New(problem)
		}
	}
	if len(refused.Events) > 0 {
		return left, &refused
	}
	return left, why
}
