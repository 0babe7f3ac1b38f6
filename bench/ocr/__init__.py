"""How well documents are read, beside plain Tesseract and rapidocr's defaults: `python -m bench.ocr`."""
