package seal

import (
	"errors"

	"github.com/jackc/pgx/v5/pgtype"
)

// Elements gives the elements of an array of one dimension in text form; nil stands for
// NULL.
func Elements(array []byte) (texts [][]byte, err error) {
	m := maps.Get().(*pgtype.Map)
	defer maps.Put(m)
	var all []*string
	if err := m.Scan(pgtype.TextArrayOID, pgtype.TextFormatCode, array, &all); err != nil {
		return nil, errors.New("it is not one")
	}
	texts = make([][]byte, len(all))
	for i, t := range all {
		if t != nil {
			texts[i] = []byte(*t)
		}
	}
	return texts, nil
}

// Array gives an array of texts in text form; nil stands for NULL.
func Array(texts []*string) ([]byte, error) {
	m := maps.Get().(*pgtype.Map)
	defer maps.Put(m)
	return m.Encode(pgtype.TextArrayOID, pgtype.TextFormatCode, texts, []byte{})
}
