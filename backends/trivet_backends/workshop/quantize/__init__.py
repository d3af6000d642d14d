"""`trivet quantize`: smaller and faster variants of a model, compared with it before they count."""
