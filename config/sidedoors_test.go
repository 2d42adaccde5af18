package config

import (
	"strings"
	"testing"
	"time"
)

func TestSideDoors(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"nothing behind the key", "side_doors:\n", ""},
		{"as usual", "side_doors: {}\n", ""},
		{"some", "side_doors: {every: 10s, allow: [{users: [backup], from: [10.0.0.9, unix], because: dump}, {users: all, from: loopback, applications: psql}]}\n", ""},
		{"too often", "side_doors: {every: 1ms}\n", "side_doors.every: must be from 100ms to 5m0s"},
		{"by what clients call themselves", "side_doors: {allow: [{applications: [psql]}]}\n", "side_doors.allow[0]: needs users and from"},
		{"nobody", "side_doors: {allow: [{users: backup, from: [somewhere]}]}\n", "side_doors.allow[0].from"},
		{"an unknown key", "side_doors: {allowed: []}\n", "allowed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := Load(write(t, good+tt.text))
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("it says %v, want %q", err, tt.want)
				}
				return
			}
			if err != nil || c.Doors == nil || c.Doors.Every < time.Second {
				t.Errorf("it is read as %+v, %v", c, err)
			}
		})
	}
	if c, err := Load(write(t, good)); err != nil || c.Doors != nil {
		t.Errorf("unasked there is %+v, %v", c, err)
	}
}
