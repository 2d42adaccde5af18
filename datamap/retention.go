package datamap

import (
	"slices"

	"github.com/pgveil/pgveil/catalog"
)

// Retention is a table of personal data with a moment from which it could be
// counted how long its rows are kept. How long that is, is for people to say.
type Retention struct {
	Table string `json:"table"`
	After string `json:"after"` // a column

	relation *catalog.Relation
}

// ends are words for moments after which a row is done with, the best first.
var ends = []string{
	"closed", "ended", "end", "finished", "completed", "resolved", "cancelled", "canceled", "terminated", "left", "expired", "expires", "paid", "deleted", "archived", "withdrawn",
	"discharged", "returned", "abgeschlossen", "beendet", "ende", "austritt", "termine", "cloture", "fin", "sortie", "cerrado", "baja", "encerrado", "fechado", "chiuso", "fine", "gesloten", "eind", "zakonczono", "koniec",
	"last", "letzte", "updated", "happened", "occurred", "sent", "created", "erstellt", "cree", "creado", "criado", "creato", "aangemaakt", "utworzono", "at", "date", "datum",
}

func (m *Map) retention() (found []Retention) {
	for _, t := range m.Tables {
		if !t.standing.personal || t.Relation.Kind != catalog.Table && t.Relation.Kind != catalog.PartitionedTable {
			continue
		}
		best, rank := "", len(ends)
		for _, c := range t.Columns {
			column, _ := t.Relation.Column(c.Name)
			if c.Class != Open || !slices.Contains([]string{"date", "timestamp", "timestamptz"}, column.Type.Base) || column.Type.Elem != 0 {
				continue
			}
			for _, word := range tokens(c.Name) {
				if i := slices.Index(ends, word); i >= 0 && i < rank {
					best, rank = c.Name, i
				}
			}
		}
		if best != "" {
			found = append(found, Retention{t.Name, best, t.Relation})
		}
	}
	return found
}
