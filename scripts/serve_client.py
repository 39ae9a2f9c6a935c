"""Ask a server for the classes of image files: `python scripts/serve_client.py --help`.

Needs Python alone: copy it wherever the clients are. With --grpc it needs tensorflow-serving-api.
"""

import argparse
import base64
import http.client
import json
import sys
import urllib.error
import urllib.request
from pathlib import Path


def by_rest(address: str, model: str, image: bytes, seconds: float) -> list[tuple[str, float]]:
    """Send one image file to the REST API; the likeliest classes and their probabilities."""
    body = {
        "signature_name": "serve_bytes",
        "instances": [{"b64": base64.b64encode(image).decode()}],
    }
    url = f"{address.rstrip('/')}/v1/models/{model}:predict"
    try:
        request = urllib.request.Request(url, json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=seconds) as response:
            (answer,) = json.load(response)["predictions"]
        return list(zip(answer["classes"], answer["scores"], strict=True))
    except urllib.error.HTTPError as error:  # the server's own words are in the body
        raise RuntimeError(error.read().decode(errors="replace")) from error
    except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError) as error:
        raise RuntimeError(
            f"{url} does not answer as TensorFlow Serving's REST API, such as that of "
            f"http://localhost:8501 ({error!r})"
        ) from error


def by_grpc(address: str, model: str, image: bytes, seconds: float) -> list[tuple[str, float]]:
    """Send one image file to the gRPC API; the likeliest classes and their probabilities."""
    import grpc
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = "serve_bytes"
    request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto([image]))
    with grpc.insecure_channel(address) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        try:
            outputs = stub.Predict(request, timeout=seconds).outputs
        except grpc.RpcError as error:
            raise RuntimeError(f"{error.code().name}: {error.details()}") from error
    classes, scores = (tf.make_ndarray(outputs[key])[0] for key in ("classes", "scores"))
    return [(name.decode(), float(score)) for name, score in zip(classes, scores, strict=True)]


def main() -> int:
    """Ask for each image in turn.

    Returns:
        Exit status: 0; 1 if an image could not be read or the server refused one.
    """
    parser = argparse.ArgumentParser(description="Ask a server for the classes of image files.")
    parser.add_argument("images", nargs="+", type=Path, help="JPEG, PNG or WebP files")
    parser.add_argument("--model", required=True, help="name of the model on the server")
    parser.add_argument("--rest", default="http://localhost:8501", help="address of its REST API")
    parser.add_argument("--grpc", metavar="HOST:PORT", help="ask its gRPC API instead")
    parser.add_argument("--timeout", type=float, default=30.0, help="seconds to wait, per image")
    options = parser.parse_args()
    failed = False
    for path in options.images:
        try:
            image = path.read_bytes()
            ask, address = (by_grpc, options.grpc) if options.grpc else (by_rest, options.rest)
            answer = ask(address, options.model, image, options.timeout)
        except (OSError, RuntimeError, ImportError) as error:
            print(f"{path}: error: {error}", file=sys.stderr)
            failed = True
            continue
        print(path)
        for name, score in answer:
            print(f"  {score:7.2%}  {name}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
