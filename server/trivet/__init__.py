"""trivet: a gRPC model server for the BERT family. `server/ARCHITECTURE.md` is the map."""
