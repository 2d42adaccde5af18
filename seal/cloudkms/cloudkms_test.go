package cloudkms

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgveil/pgveil/seal"
)

// TestSign holds the signature to get-vanilla of AWS's own test suite.
func TestSign(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "https://example.amazonaws.com/", nil)
	c := awsCredentials{ID: "AKIDEXAMPLE", Secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}
	c.sign(r, nil, "us-east-1", "service", time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC))
	const want = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
	if got := r.Header.Get("Authorization"); got != want {
		t.Errorf("signed as\n%s\nwant\n%s", got, want)
	}
}

const arn = "arn:aws:kms:eu-central-1:111122223333:key/0b8f"

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// kms answers as AWS KMS does: it "encrypts" by putting a word before.
func kms(secret, token string) http.HandlerFunc {
	refuse := func(w http.ResponseWriter, status int, name string) {
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string]string{"__type": name, "message": "no"})
	}
	return func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		said := r.Header.Get("Authorization")
		again, _ := http.NewRequest(r.Method, "http://"+r.Host+"/", nil)
		for _, name := range []string{"Content-Type", "X-Amz-Target"} {
			again.Header.Set(name, r.Header.Get(name))
		}
		awsCredentials{ID: "AKID", Secret: secret, Token: token}.sign(again, body, "eu-central-1", "kms", noon)
		var in struct {
			KeyId                     string
			Plaintext, CiphertextBlob []byte
			EncryptionContext         map[string]string
		}
		switch {
		case said != again.Header.Get("Authorization") || r.Header.Get("X-Amz-Security-Token") != token:
			refuse(w, 400, "InvalidSignatureException")
		case json.Unmarshal(body, &in) != nil || in.EncryptionContext["for"] != purpose || r.Method != http.MethodPost:
			refuse(w, 400, "ValidationException")
		case in.KeyId != arn:
			refuse(w, 400, "NotFoundException")
		case r.Header.Get("X-Amz-Target") == "TrentService.Encrypt":
			_ = json.NewEncoder(w).Encode(map[string]any{"CiphertextBlob": append([]byte("blob"), in.Plaintext...), "KeyId": arn})
		case !strings.HasPrefix(string(in.CiphertextBlob), "blob"):
			refuse(w, 400, "InvalidCiphertextException")
		default:
			_ = json.NewEncoder(w).Encode(map[string]any{"Plaintext": in.CiphertextBlob[4:], "KeyId": arn})
		}
	}
}

func onAWS(t *testing.T, h http.HandlerFunc, credentials string) *AWS {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	a, err := NewAWS(AWSOptions{Key: arn, Endpoint: srv.URL, Credentials: written(credentials)})
	if err != nil {
		t.Fatal(err)
	}
	a.now = func() time.Time { return noon }
	return a
}

func written(text string) func() (string, error) {
	return func() (string, error) { return text, nil }
}

const awsFile = "[other]\naws_access_key_id = X\n[default]\naws_access_key_id = AKID\naws_secret_access_key = secret/+=\n"

// wraps has a file of keys made and read again.
func wraps(t *testing.T, by seal.Wrapper) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys.json")
	f, err := seal.CreateFile(t.Context(), path, by)
	if err != nil {
		t.Fatal(err)
	}
	k, err := f.Create("birth", time.Now())
	if err == nil {
		err = f.Save()
	}
	if err != nil {
		t.Fatal(err)
	}
	again, err := seal.OpenFile(t.Context(), path, by)
	if err != nil || again.Check(k.ID) != f.Check(k.ID) {
		t.Errorf("read again: %v", err)
	}
	if _, err := by.Unwrap(t.Context(), "vault:v1:x"); err == nil || !strings.Contains(err.Error(), "something else") {
		t.Errorf("what Vault wrapped: %v", err)
	}
}

func TestAWS(t *testing.T) {
	wraps(t, onAWS(t, kms("secret/+=", ""), awsFile))
	wraps(t, onAWS(t, kms("secret/+=", "session"), awsFile+"aws_session_token=session\n"))
}

// The role of the machine is asked for in three steps.
func TestAWSRole(t *testing.T) {
	machine := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token := r.Header.Get("X-aws-ec2-metadata-token") == "tok"
		switch {
		case r.Method == http.MethodPut && r.URL.Path == "/latest/api/token" && r.Header.Get("X-aws-ec2-metadata-token-ttl-seconds") != "":
			_, _ = w.Write([]byte("tok"))
		case token && r.URL.Path == "/latest/meta-data/iam/security-credentials/":
			_, _ = w.Write([]byte("veil\n"))
		case token && r.URL.Path == "/latest/meta-data/iam/security-credentials/veil":
			_, _ = w.Write([]byte(`{"Code":"Success","AccessKeyId":"AKID","SecretAccessKey":"secret","Token":"session"}`))
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer machine.Close()
	a := onAWS(t, kms("secret", "session"), "")
	a.credentials, a.machine = nil, machine.URL
	wraps(t, a)
	a.machine = machine.URL + "/nothing"
	if _, err := a.Wrap(t.Context(), make([]byte, 32)); err == nil || !strings.Contains(err.Error(), "give the instance a role") {
		t.Errorf("without a role: %v", err)
	}
}

const cryptoKey = "projects/crm/locations/europe-west3/keyRings/pgveil/cryptoKeys/kek"

// google answers as Google's token server and Cloud KMS do.
func google(t *testing.T, public *rsa.PublicKey) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch path := r.URL.Path; path {
		case "/computeMetadata/v1/instance/service-accounts/default/token":
			if r.Header.Get("Metadata-Flavor") != "Google" {
				w.WriteHeader(http.StatusForbidden)
				return
			}
			_, _ = w.Write([]byte(`{"access_token":"tok","expires_in":60,"token_type":"Bearer"}`))
		case "/token":
			claim := strings.Split(r.PostFormValue("assertion"), ".")
			if len(claim) != 3 || r.PostFormValue("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" {
				t.Errorf("asked for a token by %q", r.PostForm)
				return
			}
			sum := sha256.Sum256([]byte(claim[0] + "." + claim[1]))
			signature, _ := base64.RawURLEncoding.DecodeString(claim[2])
			text, _ := base64.RawURLEncoding.DecodeString(claim[1])
			var said struct {
				Iss, Scope, Aud string
				Iat, Exp        int64
			}
			err := rsa.VerifyPKCS1v15(public, crypto.SHA256, sum[:], signature)
			if json.Unmarshal(text, &said) != nil || err != nil || said.Iss != "pgveil@crm" || said.Aud != "http://"+r.Host+"/token" || said.Iat != noon.Unix() || said.Exp <= said.Iat || !strings.HasSuffix(said.Scope, "/cloudkms") {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			_, _ = w.Write([]byte(`{"access_token":"tok"}`))
		case "/v1/" + cryptoKey + ":encrypt", "/v1/" + cryptoKey + ":decrypt":
			var in struct{ Plaintext, Ciphertext, AdditionalAuthenticatedData []byte }
			if r.Header.Get("Authorization") != "Bearer tok" {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			if json.NewDecoder(r.Body).Decode(&in) != nil || string(in.AdditionalAuthenticatedData) != purpose {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			if strings.HasSuffix(path, ":encrypt") {
				_ = json.NewEncoder(w).Encode(map[string]any{"name": cryptoKey + "/cryptoKeyVersions/1", "ciphertext": append([]byte("blob"), in.Plaintext...)})
			} else {
				_ = json.NewEncoder(w).Encode(map[string]any{"plaintext": in.Ciphertext[4:]})
			}
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}
}

func onGoogle(t *testing.T, h http.HandlerFunc) *Google {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	g, err := NewGoogle(GoogleOptions{Key: cryptoKey, Endpoint: srv.URL})
	if err != nil {
		t.Fatal(err)
	}
	g.machine, g.now = srv.URL, func() time.Time { return noon }
	return g
}

func TestGoogle(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	g := onGoogle(t, google(t, &key.PublicKey))
	wraps(t, g)
	of := func(key *rsa.PrivateKey) func() (string, error) {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(map[string]string{
			"type": "service_account", "client_email": "pgveil@crm", "private_key_id": "1", "token_uri": g.at.String() + "/token",
			"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		})
		if err != nil {
			t.Fatal(err)
		}
		return written(string(text))
	}
	g.credentials = of(key)
	wraps(t, g)
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	g.credentials = of(other)
	if _, err := g.Wrap(t.Context(), make([]byte, 32)); err == nil || !strings.Contains(err.Error(), "its key be valid") {
		t.Errorf("by a key that is another: %v", err)
	}
	g.credentials = written(`{"client_email":"a","private_key":"b","token_uri":"http://oauth.example/token"}`)
	if _, err := g.Wrap(t.Context(), make([]byte, 32)); err == nil || !strings.Contains(err.Error(), "use https") {
		t.Errorf("a token from http: %v", err)
	}
}

// What goes wrong there is said here, and only what may pass is waited for.
func TestGoesWrong(t *testing.T) {
	for _, tt := range []struct {
		name   string
		status int
		aws    string // its answer
		google string
		want   [2]string
		away   bool
	}{
		{"no right", 0, `{"__type":"AccessDeniedException","Message":"x"}`, `{"error":{"status":"PERMISSION_DENIED"}}`, [2]string{"kms:Decrypt", "EncrypterDecrypter"}, false},
		{"throttled", 0, `{"__type":"com.amazonaws#ThrottlingException"}`, ``, [2]string{"Throttling", "429"}, true},
		{"broken", 500, `{"__type":"KMSInternalException"}`, `oh`, [2]string{"500", "500"}, true},
		{"garbage", 200, `<html>`, `<html>`, [2]string{"not understood", "not understood"}, false},
		{"nothing", 200, `{}`, `{}`, [2]string{"not a key", "not a key"}, false},
		{"another length", 200, `{"Plaintext":"AAAA"}`, `{"plaintext":"AAAA"}`, [2]string{"not a key", "not a key"}, false},
		{"huge", 200, strings.Repeat("x", maxAnswer+1), strings.Repeat("x", maxAnswer+1), [2]string{"longer than", "longer than"}, false},
		{"elsewhere", 302, ``, ``, [2]string{"302", "302"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			say := func(status int, text string) http.HandlerFunc {
				return func(w http.ResponseWriter, r *http.Request) {
					if strings.HasPrefix(r.URL.Path, "/computeMetadata") {
						_, _ = w.Write([]byte(`{"access_token":"tok"}`))
						return
					}
					w.Header().Set("Location", "/elsewhere")
					w.WriteHeader(status)
					_, _ = w.Write([]byte(text))
				}
			}
			status := [2]int{tt.status, tt.status}
			switch tt.name {
			case "no right":
				status = [2]int{400, 403}
			case "throttled":
				status = [2]int{400, 429}
			}
			for i, by := range []seal.Wrapper{onAWS(t, say(status[0], tt.aws), awsFile), onGoogle(t, say(status[1], tt.google))} {
				_, err := by.Unwrap(t.Context(), []string{awsPrefix, googlePrefix}[i]+"AAAA")
				var away *seal.AwayError
				if err == nil || !strings.Contains(err.Error(), tt.want[i]) || errors.As(err, &away) != tt.away {
					t.Errorf("%T: %v", by, err)
				}
			}
		})
	}
}

// One who does not answer is not waited for without end.
func TestHangs(t *testing.T) {
	done := make(chan struct{})
	hang := func(http.ResponseWriter, *http.Request) { <-done }
	a, g := onAWS(t, hang, awsFile), onGoogle(t, hang)
	t.Cleanup(func() { close(done) })
	for _, by := range []seal.Wrapper{a, g} {
		ctx, stop := context.WithTimeout(t.Context(), 100*time.Millisecond)
		_, err := by.Wrap(ctx, make([]byte, 32))
		stop()
		var away *seal.AwayError
		if !errors.As(err, &away) {
			t.Errorf("%T: %v", by, err)
		}
	}
	if a.client.Timeout != within || g.client.Timeout != within {
		t.Error("a client waits for ever")
	}
}

func TestOptions(t *testing.T) {
	for _, o := range []AWSOptions{{}, {Key: "alias/x"}, {Key: "arn:aws:s3:eu:1:key/x"}, {Key: "arn:aws-moon:kms:eu:1:key/x"}, {Key: arn, Endpoint: "http://kms.internal"}, {Key: arn, Endpoint: "https://a@kms"}} {
		if _, err := NewAWS(o); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
	for _, o := range []GoogleOptions{{}, {Key: "projects/a/keyRings/b"}, {Key: cryptoKey + "/../x"}, {Key: cryptoKey, Endpoint: "http://kms.internal"}} {
		if _, err := NewGoogle(o); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
	for key, want := range map[string]string{arn: "https://kms.eu-central-1.amazonaws.com/", strings.Replace(arn, "aws:", "aws-cn:", 1): "https://kms.eu-central-1.amazonaws.com.cn/"} {
		if a, err := NewAWS(AWSOptions{Key: key}); err != nil || a.at.String() != want {
			t.Errorf("%s: %v, %v", key, a, err)
		}
	}
}
