package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// under puts a path in front of each request's, which the SDK takes no endpoint with. Nobody looks at what was signed before.
type under string

func (path under) RoundTrip(request *http.Request) (*http.Response, error) {
	request = request.Clone(request.Context())
	request.URL.Path = string(path) + request.URL.Path
	if request.URL.RawPath != "" {
		request.URL.RawPath = string(path) + request.URL.RawPath
	}
	return http.DefaultTransport.RoundTrip(request)
}

// putAndGet sends objects without TLS, where this SDK signs bodies chunk by chunk; with `trailers` their checksum comes behind
// them, and is signed too.
func putAndGet(trailers bool) {
	base, err := url.Parse(os.Getenv("AWS_ENDPOINT_URL_S3"))
	must(err)
	client, err := minio.New(base.Host, &minio.Options{
		Creds:  credentials.NewStaticV4(os.Getenv("AWS_ACCESS_KEY_ID"), os.Getenv("AWS_SECRET_ACCESS_KEY"), ""),
		Region: os.Getenv("AWS_REGION"), Transport: under(base.Path), TrailingHeaders: trailers, BucketLookup: minio.BucketLookupPath,
	})
	must(err)
	for _, size := range []int{0, 1, 65536, 5_000_000} {
		body, options := bytes.Repeat([]byte("s"), size), minio.PutObjectOptions{DisableMultipart: true, ContentType: "text/plain"}
		if trailers {
			options.Checksum = minio.ChecksumCRC32C
		}
		_, err := client.PutObject(context.Background(), "bucket", fmt.Sprint("go/", size), bytes.NewReader(body), int64(size), options)
		must(err)
		object, err := client.GetObject(context.Background(), "bucket", fmt.Sprint("go/", size), minio.GetObjectOptions{})
		must(err)
		back, err := io.ReadAll(object)
		must(err)
		fmt.Println(len(back), bytes.Equal(back, body))
	}
}
