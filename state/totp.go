package state

import (
	"crypto/subtle"
	"encoding/base32"
	"fmt"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
	"github.com/pquerna/otp/totp"
)

// algorithms are those that authenticators know: the first is the one that all
// of them do.
var algorithms = map[string]otp.Algorithm{"SHA1": otp.AlgorithmSHA1, "SHA256": otp.AlgorithmSHA256}

// secretSizes are as large as what the algorithm gives, as RFC 4226 advises.
var secretSizes = map[string]int{"SHA1": 20, "SHA256": 32}

// skew is by how many steps the clocks of an authenticator and pgveil may differ.
const skew = 1

// step finds the time step, near now, that a code is of: the latest, where there
// are several. Which step it is must be known, for each is good once only.
func (f *Factor) step(secret []byte, code string, now time.Time) (step int64, ok bool, err error) {
	if len(code) != f.Digits || now.Unix() < 0 {
		return 0, false, nil
	}
	opts := hotp.ValidateOpts{Digits: otp.Digits(f.Digits), Algorithm: algorithms[f.Algorithm]}
	text := base32.StdEncoding.EncodeToString(secret)
	at := now.Unix() / int64(f.Period/time.Second)
	for step := at + skew; step >= max(at-skew, 0); step-- {
		right, err := hotp.GenerateCodeCustom(text, uint64(step), opts)
		if err != nil {
			return 0, false, fmt.Errorf("make a code: %w", err)
		}
		if subtle.ConstantTimeCompare([]byte(right), []byte(code)) == 1 {
			return step, true, nil
		}
	}
	return 0, false, nil
}

// URI gives what an authenticator reads from a picture: the secret, and what to
// call it.
func (e *Enrolment) URI(issuer string) (string, error) {
	key, err := totp.Generate(totp.GenerateOpts{
		Issuer: issuer, AccountName: e.User, Secret: e.Secret,
		Period: uint(e.Period / time.Second), Digits: otp.Digits(e.Digits), Algorithm: algorithms[e.Algorithm],
	})
	if err != nil {
		return "", fmt.Errorf("make the URI of a second factor: %w", err)
	}
	return key.URL(), nil
}
