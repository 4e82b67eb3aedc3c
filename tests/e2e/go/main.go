// Go's clients for the tests: `client grpc HOST` is as grpc/client.py beside it, with grpc-go; `client http URL` asks twice by
// net/http and prints the protocol of each answer; `client s3 chunks` or `trailers` puts objects by minio-go (s3.go).
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// plain is a codec of messages that are bytes.
type plain struct{}

func (plain) Name() string                        { return "proto" }
func (plain) Marshal(message any) ([]byte, error) { return *message.(*[]byte), nil }
func (plain) Unmarshal(data []byte, message any) error {
	*message.(*[]byte) = bytes.Clone(data)
	return nil
}

var connection *grpc.ClientConn

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func call(c context.Context, name string, message []byte, options ...grpc.CallOption) ([]byte, error) {
	var reply []byte
	err := connection.Invoke(c, "/keystile.Echo/"+name, &message, &reply, options...)
	return reply, err
}

func stream(name string, up, down bool) grpc.ClientStream {
	description := &grpc.StreamDesc{StreamName: name, ClientStreams: up, ServerStreams: down}
	made, err := connection.NewStream(context.Background(), description, "/keystile.Echo/"+name)
	must(err)
	return made
}

func say(s grpc.ClientStream, message string) {
	data := []byte(message)
	must(s.SendMsg(&data))
}

// hear gives each message to `each` until the stream ends.
func hear(s grpc.ClientStream, each func(string)) error {
	for {
		var data []byte
		if err := s.RecvMsg(&data); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		each(string(data))
	}
}

func failed(err error) []any {
	return []any{int(status.Code(err)), status.Convert(err).Message()}
}

func every() []byte {
	data := make([]byte, 256)
	for i := range data {
		data[i] = byte(i)
	}
	return data
}

func unary() any {
	c := metadata.AppendToOutgoingContext(context.Background(), "authorization", "Bearer of-the-agent", "x-asked", "asked",
		"x-asked-bin", string(every()))
	var first, last metadata.MD
	reply, err := call(c, "Unary", []byte("hello"), grpc.Header(&first), grpc.Trailer(&last))
	must(err)
	binary := base64.StdEncoding.EncodeToString([]byte(last.Get("x-trailing-bin")[0]))
	return []string{string(reply), first.Get("x-initial")[0], first.Get("x-again")[0], last.Get("x-trailing")[0], binary}
}

func down() any {
	s, heard := stream("Down", false, true), []int{}
	say(s, "100")
	must(s.CloseSend())
	must(hear(s, func(message string) {
		number, err := strconv.Atoi(message)
		must(err)
		heard = append(heard, number)
	}))
	return heard
}

func up() any {
	s := stream("Up", true, false)
	for range 100 {
		say(s, string(bytes.Repeat([]byte("x"), 1000)))
	}
	must(s.CloseSend())
	var reply []byte
	must(s.RecvMsg(&reply))
	return string(reply)
}

func both() any {
	s, heard := stream("Both", true, true), []string{}
	say(s, "first")
	must(hear(s, func(message string) {
		heard = append(heard, message)
		if len(heard) < 20 {
			say(s, strconv.Itoa(len(heard)))
		} else {
			must(s.CloseSend())
		}
	}))
	return heard
}

func large() any {
	reply, err := call(context.Background(), "Unary", bytes.Repeat(every(), 4<<12))
	must(err)
	return fmt.Sprintf("%x", sha256.Sum256(reply))
}

func fail() any {
	_, err := call(context.Background(), "Fail", nil)
	return failed(err)
}

func failLate() any {
	s, heard := stream("FailLate", false, true), []string{}
	say(s, "")
	must(s.CloseSend())
	err := hear(s, func(message string) { heard = append(heard, message) })
	return append([]any{heard}, failed(err)...)
}

func refused() any {
	_, err := call(context.Background(), "Refused", nil)
	return int(status.Code(err))
}

func deadline() any {
	began := time.Now()
	c, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_, err := call(c, "Slow", []byte("deadline"))
	return []any{int(status.Code(err)), time.Since(began) < 10*time.Second}
}

func cancel() any {
	c, cancel := context.WithCancel(context.Background())
	s, err := connection.NewStream(c, &grpc.StreamDesc{StreamName: "Slow"}, "/keystile.Echo/Slow")
	must(err)
	say(s, "cancel")
	must(s.CloseSend())
	first, err := s.Header()
	must(err)
	cancel()
	var reply []byte
	return []any{first.Get("x-initial")[0], int(status.Code(s.RecvMsg(&reply)))}
}

func callEach(host string) {
	var err error
	connection, err = grpc.NewClient(host+":443", grpc.WithTransportCredentials(credentials.NewTLS(nil)),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(plain{}), grpc.MaxCallRecvMsgSize(64<<20)))
	must(err)
	seen := map[string]any{
		"unary": unary(), "down": down(), "up": up(), "both": both(), "large": large(), "fail": fail(), "fail_late": failLate(),
		"refused": refused(), "deadline": deadline(), "cancel": cancel(),
	}
	must(json.NewEncoder(os.Stdout).Encode(seen))
}

func ask(url string) {
	for range 2 {
		answer, err := http.Post(url, "text/plain", bytes.NewReader(bytes.Repeat([]byte("x"), 20_000)))
		must(err)
		_, err = io.Copy(io.Discard, answer.Body)
		must(err)
		must(answer.Body.Close())
		fmt.Println(answer.Proto, answer.StatusCode)
	}
}

func main() {
	switch os.Args[1] {
	case "grpc":
		callEach(os.Args[2])
	case "http":
		ask(os.Args[2])
	case "s3":
		putAndGet(os.Args[2] == "trailers")
	}
}
