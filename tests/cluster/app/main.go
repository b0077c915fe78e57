// The app of the cluster's tests: it asks tokend for tokens as a workload would, and says what it got.
//
// One static program without a shell beside it, so that it runs under the restricted Pod Security standard with a read-only root.
// Standard library only: it is built where no registry can be reached. What it prints never holds a whole token.
//
//	app once        asks once, prints the answer, ends with 0 if the status is 200; asks again as long as that says "wait" (503)
//	app serve       asks whenever somebody gets /ask on APP_LISTEN; says at /echo with which token and headers it was asked itself
//	app load        asks all the time, with APP_PAUSE_MS between, until it is told to end, and APP_LINGER longer; then writes its counts
//	                to /dev/termination-log
//	app look DIR…   lists what lies in folders
//	app reach HOST:PORT   ends when something can be connected to
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// One question to tokend. The zero value of a member is what the environment says.
type question struct {
	url    string // http://…, https://… or unix:///path
	path   string
	body   string
	caller string // the caller token itself
	bearer string // a user's token
}

type answer struct {
	Status int            `json:"status"`          // 0: there was no answer
	Error  string         `json:"error,omitempty"` // why
	Body   map[string]any `json:"body,omitempty"`
	Claims map[string]any `json:"claims,omitempty"` // of the access token
	Proto  string         `json:"proto,omitempty"`
}

// What a load has seen so far.
type counts struct {
	Asked   int            `json:"asked"`
	Failed  int            `json:"failed"`
	Late    int            `json:"late"` // of Asked: after the signal to end
	First   string         `json:"first_failure,omitempty"`
	Sources map[string]int `json:"sources"`
}

func main() {
	mode := "serve"
	if len(os.Args) > 1 {
		mode = os.Args[1]
	}
	switch mode {
	case "once":
		got, door := answer{Status: http.StatusServiceUnavailable}, client(false)
		for range 60 {
			if got = ask(door, question{}); got.Status != http.StatusServiceUnavailable {
				break
			}
			time.Sleep(500 * time.Millisecond)
		}
		say(got)
		if got.Status != http.StatusOK {
			os.Exit(1)
		}
	case "serve":
		serve()
	case "load":
		load()
	case "look":
		look(os.Args[2:])
	case "reach":
		reach(os.Args[2])
	default:
		fmt.Fprintln(os.Stderr, "app: once, serve, load, look or reach")
		os.Exit(64)
	}
}

func env(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

func number(name string, otherwise int) int {
	value, err := strconv.Atoi(env(name, strconv.Itoa(otherwise)))
	if err != nil {
		panic(name + " is no number")
	}
	return value
}

func say(what any) {
	line, _ := json.Marshal(what)
	fmt.Println(string(line))
}

// Keeps connections as a well-behaved program does, and knows the way to a socket.
func client(http1 bool) *http.Client {
	transport := &http.Transport{MaxIdleConnsPerHost: 64, ForceAttemptHTTP2: !http1, TLSHandshakeTimeout: 5 * time.Second}
	if http1 {
		transport.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	}
	if file := os.Getenv("APP_CA_FILE"); file != "" {
		pem, err := os.ReadFile(file)
		roots := x509.NewCertPool()
		if err != nil || !roots.AppendCertsFromPEM(pem) {
			panic("APP_CA_FILE holds no certificate")
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	}
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		// A socket's path travels as a host name, which cannot have slashes.
		host, _, _ := net.SplitHostPort(address)
		if path, ok := strings.CutSuffix(host, ".socket"); ok {
			path, err := hex.DecodeString(path)
			if err != nil {
				return nil, err
			}
			return dialer.DialContext(ctx, "unix", string(path))
		}
		return dialer.DialContext(ctx, network, address)
	}
	never := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &http.Client{Transport: transport, CheckRedirect: never, Timeout: 20 * time.Second}
}

func ask(client *http.Client, what question) answer {
	at := what.url
	if at == "" {
		at = env("APP_URL", os.Getenv("TOKEND_URL"))
	}
	if path, ok := strings.CutPrefix(at, "unix://"); ok {
		at = "http://" + hex.EncodeToString([]byte(path)) + ".socket"
	}
	path, body, caller := what.path, what.body, what.caller
	if path == "" {
		path = env("APP_PATH", "/client-credentials")
	}
	if body == "" {
		body = env("APP_BODY", "{}")
	}
	if file := os.Getenv("APP_CALLER_TOKEN_FILE"); caller == "" && file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return answer{Error: err.Error()}
		}
		caller = strings.TrimSpace(string(text))
	}
	request, err := http.NewRequest(http.MethodPost, strings.TrimSuffix(at, "/")+path, bytes.NewReader([]byte(body)))
	if err != nil {
		return answer{Error: err.Error()}
	}
	request.Header.Set("Content-Type", "application/json")
	if caller != "" && caller != "none" {
		request.Header.Set("X-Tokend-Token", caller)
	}
	if what.bearer != "" {
		request.Header.Set("Authorization", "Bearer "+what.bearer)
	}
	response, err := client.Do(request)
	if err != nil {
		return answer{Error: err.Error()}
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return answer{Status: response.StatusCode, Error: err.Error()}
	}
	got := answer{Status: response.StatusCode, Proto: response.Proto}
	if err := json.Unmarshal(text, &got.Body); err != nil {
		got.Error = fmt.Sprintf("no JSON: %.200q", text)
		return got
	}
	if token, ok := got.Body["access_token"].(string); ok {
		got.Claims = claims(token)
		sum := sha256.Sum256([]byte(token))
		got.Body["access_token"] = "sha256:" + hex.EncodeToString(sum[:])
	}
	return got
}

func claims(token string) (members map[string]any) {
	if parts := strings.Split(token, "."); len(parts) == 3 {
		text, _ := base64.RawURLEncoding.DecodeString(parts[1])
		_ = json.Unmarshal(text, &members)
	}
	return members
}

// Each question is one connection of its own if it says so: through a Service it may then meet any replica.
func serve() {
	shared := client(os.Getenv("APP_HTTP1") != "")
	http.HandleFunc("/ask", func(w http.ResponseWriter, r *http.Request) {
		query, door := r.URL.Query(), shared
		if query.Has("fresh") || query.Has("http1") {
			door = client(query.Has("http1"))
			defer door.CloseIdleConnections()
		}
		got := ask(door, question{query.Get("url"), query.Get("path"), query.Get("body"), query.Get("caller"), query.Get("bearer")})
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(got)
	})
	http.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		bearer, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		r.Header.Del("Authorization")
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"claims": claims(bearer), "headers": r.Header})
	})
	listen(nil)
}

// Serves on APP_LISTEN until the signal to end.
func listen(also func()) {
	http.HandleFunc("/ready", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ready") })
	server := &http.Server{Addr: env("APP_LISTEN", ":8080"), ReadHeaderTimeout: 10 * time.Second}
	ended, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	go func() {
		if err := server.ListenAndServe(); err != http.ErrServerClosed {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}()
	<-ended.Done()
	if also != nil {
		also()
	}
	_ = server.Close()
}

func load() {
	var mutex sync.Mutex
	all, ending, stop := counts{Sources: map[string]int{}}, false, make(chan struct{})
	note := func(got answer) {
		mutex.Lock()
		defer mutex.Unlock()
		all.Asked++
		if ending {
			all.Late++
		}
		if source, ok := got.Body["token_source"].(string); ok {
			all.Sources[source]++
		}
		if got.Status != http.StatusOK {
			all.Failed++
			if all.First == "" {
				text, _ := json.Marshal(got)
				all.First = string(text)
			}
		}
	}
	text := func() []byte {
		mutex.Lock()
		defer mutex.Unlock()
		line, _ := json.Marshal(all)
		return line
	}
	var workers sync.WaitGroup
	for worker := range number("APP_WORKERS", 4) {
		workers.Add(1)
		// Every second one speaks HTTP/1.1 where there is a choice: the two end a connection in different ways.
		door := client(worker%2 == 1)
		go func() {
			defer workers.Done()
			pause := time.Duration(number("APP_PAUSE_MS", 5)) * time.Millisecond
			for {
				select {
				case <-stop:
					return
				case <-time.After(pause):
					note(ask(door, question{}))
				}
			}
		}()
	}
	http.HandleFunc("/counts", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(text()) })
	listen(func() {
		mutex.Lock()
		ending = true
		mutex.Unlock()
		time.Sleep(time.Duration(number("APP_LINGER", 3)) * time.Second)
		close(stop)
		workers.Wait()
		fmt.Println(string(text()))
		if err := os.WriteFile("/dev/termination-log", text(), 0o644); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	})
}

func look(folders []string) {
	found := map[string]any{}
	for _, folder := range folders {
		entries, err := os.ReadDir(folder)
		if err != nil {
			found[folder] = err.Error()
			continue
		}
		names := []string{}
		for _, entry := range entries {
			names = append(names, entry.Name())
		}
		found[folder] = names
	}
	say(found)
}

// A Service leads to its Pods a moment after they are ready.
func reach(address string) {
	for {
		connection, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			_ = connection.Close()
			return
		}
		time.Sleep(200 * time.Millisecond)
	}
}
