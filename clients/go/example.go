// Text in, answers out, from Go:  make && build/example [HOST:PORT]
package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	kserve "example/kservepb"
	text "example/textpb"
)

func main() {
	address := "127.0.0.1:8001"
	if len(os.Args) > 1 {
		address = os.Args[1]
	}
	if err := run(address); err != nil {
		refused := status.Convert(err)
		fmt.Fprintf(os.Stderr, "%s: %s: %s\n", address, refused.Code(), refused.Message())
		os.Exit(1)
	}
}

func run(address string) error {
	connection, err := grpc.Dial(address, grpc.WithInsecure())
	if err != nil {
		return err
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()

	texts, tensors := text.NewTextServiceClient(connection), kserve.NewGRPCInferenceServiceClient(connection)
	if err := fillMask(ctx, texts, "He opened the [MASK] and walked into the room."); err != nil {
		return err
	}
	if err := embedStream(ctx, texts, []string{"One text.", "", "Another, somewhat longer text."}); err != nil {
		return err
	}
	return infer(ctx, tensors, "The puppy chewed up my slippers.")
}

func fillMask(ctx context.Context, client text.TextServiceClient, sentence string) error {
	answer, err := client.FillMask(ctx, &text.FillMaskRequest{Texts: []string{sentence}, TopK: 3})
	if err != nil {
		return err
	}
	fmt.Println(sentence)
	for _, mask := range answer.Results[0].Masks {
		for _, candidate := range mask.Candidates {
			fmt.Printf("  %5.1f %%  %s\n", 100*candidate.Probability, candidate.Token)
		}
	}
	return nil
}

// embedStream sends every text and reads the answers, which come as they are ready, each with its
// request's id. With many texts, send from a goroutine, so that both directions flow.
func embedStream(ctx context.Context, client text.TextServiceClient, sentences []string) error {
	stream, err := client.EmbedStream(ctx)
	if err != nil {
		return err
	}
	for index, sentence := range sentences {
		request := &text.EmbedStreamRequest{Id: fmt.Sprint(index), Text: sentence}
		if err := stream.Send(request); err == io.EOF {
			break // the stream has ended; Recv says why
		} else if err != nil {
			return err
		}
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	for {
		answer, err := stream.Recv()
		if err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if refused := answer.GetError(); refused != nil { // this text alone; the stream goes on
			fmt.Printf("  text %s: refused, %s\n", answer.Id, refused.Message)
		} else {
			result := answer.GetResult()
			fmt.Printf("  text %s: %d numbers, %d tokens\n", answer.Id, len(result.Embedding), result.Cost.Tokens)
		}
	}
}

// infer asks the same model by KServe v2: typed contents in, raw little-endian bytes out.
func infer(ctx context.Context, client kserve.GRPCInferenceServiceClient, sentence string) error {
	answer, err := client.ModelInfer(ctx, &kserve.ModelInferRequest{
		ModelName: "embed",
		Inputs: []*kserve.ModelInferRequest_InferInputTensor{{
			Name: "TEXT", Datatype: "BYTES", Shape: []int64{1, 1},
			Contents: &kserve.InferTensorContents{BytesContents: [][]byte{[]byte(sentence)}},
		}},
	})
	if err != nil {
		return err
	}
	output, raw := answer.Outputs[0], answer.RawOutputContents[0]
	squares := 0.0
	for place := 0; place < len(raw); place += 4 {
		number := float64(math.Float32frombits(binary.LittleEndian.Uint32(raw[place:])))
		squares += number * number
	}
	fmt.Printf("%s version %s: %s %s %v, length %.3f\n",
		answer.ModelName, answer.ModelVersion, output.Name, output.Datatype, output.Shape, math.Sqrt(squares))
	return nil
}
