package mask

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// The settings that keyed masks read their key from. A session's user must be
// able neither to read nor to change them.
const (
	InnerSetting = "pgveil.mask_key_inner"
	OuterSetting = "pgveil.mask_key_outer"
)

// Settings gives the settings that a session needs for keyed masks: the key as
// HMAC pads it (RFC 2104), in hexadecimal. It is the whole key for whoever can
// read them. key has 32 bytes.
func Settings(key []byte) (map[string]string, error) {
	inner, outer, err := padded(key)
	if err != nil {
		return nil, err
	}
	return map[string]string{InnerSetting: hex.EncodeToString(inner), OuterSetting: hex.EncodeToString(outer)}, nil
}

// padded gives the two forms of the key that HMAC hashes with.
func padded(key []byte) (inner, outer []byte, err error) {
	if len(key) != 32 {
		return nil, nil, fmt.Errorf("mask key has %d bytes, not 32", len(key))
	}
	inner, outer = make([]byte, sha256.BlockSize), make([]byte, sha256.BlockSize)
	copy(inner, key)
	copy(outer, key)
	for i := range inner {
		inner[i] ^= 0x36
		outer[i] ^= 0x5c
	}
	return inner, outer, nil
}

// label keeps the pseudonyms of different masks, columns and classes apart.
// Each part comes with its length, so that no two lists of parts read alike.
func label(mask string, parts ...string) string {
	var b strings.Builder
	b.WriteString(mask + ":")
	for _, p := range parts {
		fmt.Fprintf(&b, "%d:%s", len(p), p)
	}
	b.WriteByte(':')
	return b.String()
}

// pseudonym gives the HMAC of the value under a label, in the column's type.
// The message has the encoding of the database, to which converting cannot
// fail.
func (c column) pseudonym(label string) string {
	value := c.value
	switch {
	case c.typ.Name == "citext":
		value = sql("#lower($v)", "$v", value)
	case c.typ.Base == "int4", c.typ.Base == "int8", c.typ.Base == "uuid":
		value = sql("CAST($v AS #text)", "$v", value)
	}
	mac := sql("#sha256($outer #|| #sha256($inner #|| #convert_to($label #|| $v, #getdatabaseencoding())))",
		"$outer", key(OuterSetting), "$inner", key(InnerSetting), "$label", literal(label), "$v", value)
	switch c.typ.Base {
	case "int4":
		return sql("CAST('x' #|| #encode(#substr($mac, 1, 4), 'hex') AS bit(31))", "$mac", mac)
	case "int8":
		return sql("CAST('x' #|| #encode(#substr($mac, 1, 8), 'hex') AS bit(63))", "$mac", mac)
	case "uuid":
		return sql("#encode(#substr($mac, 1, 16), 'hex')", "$mac", mac)
	default:
		return sql("#encode(#substr($mac, 1, 8), 'hex')", "$mac", mac)
	}
}

// key reads a padded key. A sub-select without a reference to the row runs
// once a statement; it has no row, hence the mask is NULL, unless the setting
// has the length of a key: an unkeyed digest can be looked up.
func key(setting string) string {
	return sql("(SELECT #decode(#current_setting($s, true), 'hex') WHERE #length(#current_setting($s, true)) #= 128)",
		"$s", literal(setting))
}
