//! From the bytes of a file to an image: what is around it is taken off, and its headers are read.

#[cfg(feature = "avml")]
use crate::avml;
use crate::bytes::Bytes;
use crate::detect::{Content, Format};
use crate::error::OpenErrorKind;
use crate::image::Image;
use crate::kdump::{Kdump, Source};
use crate::options::OpenOptions;
use crate::progress::{Meter, Stage};
use crate::sink::Sink;
use crate::{elf, lime, magic, raw};
use iopt::PhysAddr;
use std::borrow::Cow;

impl OpenOptions {
    pub(crate) fn sink(self, stage: Stage) -> Sink {
        Sink::new(self.decompressed_limit, Meter::new(stage, self.progress))
    }

    /// The image that `bytes` are.
    pub(crate) fn image(self, mut bytes: Bytes) -> Result<Image, OpenErrorKind> {
        let size = u64::try_from(bytes.as_slice().len()).unwrap_or(u64::MAX);
        let mut content = Content::of(bytes.as_slice());
        let mut compression = None;
        if let Content::Compressed(outer) = content {
            compression = Some(outer);
            bytes = Bytes::Memory(outer.decompress(bytes.as_slice(), self.sink(Stage::Decompressing))?.into());
            content = Content::of(bytes.as_slice());
        }
        if bytes.as_slice().is_empty() {
            return Err(OpenErrorKind::Empty);
        }
        let mut format = match (self.format, content, compression) {
            (Some(format), ..) | (None, Content::Image(format), _) => format,
            (None, Content::Unsupported(format), _) => return Err(OpenErrorKind::Unsupported(format)),
            (None, Content::Compressed(inner), outer) => {
                return Err(OpenErrorKind::CompressedTwice { outer: outer.unwrap_or(inner), inner });
            }
        };
        let mut source = Source::Plain(bytes);
        if matches!(format, Format::Elf | Format::Kdump) {
            source = source.unflattened()?;
            if self.format.is_none() && source.get(0, 4).is_some_and(|start| *start == magic::ELF) {
                format = Format::Elf;
            }
        }
        if let Some(base) = self.raw_base.filter(|_| format != Format::Raw) {
            return Err(OpenErrorKind::NotRaw { base, format });
        }
        let mut image = Image::new(format, compression, size);
        match format {
            Format::Raw => {
                image.bytes = source.into_bytes();
                let base = self.raw_base.unwrap_or(PhysAddr(0));
                let beyond = OpenErrorKind::BeyondAddresses { base, size: image.bytes.as_slice().len() };
                image.segments = raw::segments(image.bytes.as_slice(), base).ok_or(beyond)?;
            }
            #[cfg(feature = "lime")]
            Format::Lime => {
                image.bytes = source.into_bytes();
                image.segments = lime::segments(image.bytes.as_slice())?;
            }
            #[cfg(feature = "avml")]
            Format::Avml => {
                let mut memory = self.sink(Stage::Decompressing);
                image.segments = avml::read(source.bytes().as_slice(), &mut memory)?;
                image.bytes = Bytes::Memory(memory.bytes.into());
            }
            #[cfg(feature = "elf")]
            Format::Elf => {
                let mut file = self.sink(Stage::Assembling);
                let flattened = source.is_stream_truncated();
                let extents = source.assemble(&mut file);
                let extents = extents.map_err(|stop| OpenErrorKind::stream(Stage::Assembling, stop, &file))?;
                image.bytes = match flattened {
                    Some(_) => Bytes::Memory(file.bytes.into()),
                    None => source.into_bytes(),
                };
                let elf::Core { segments, mut elf, .. } = elf::read(image.bytes.as_slice(), &extents)?;
                (elf.flattened, elf.stream_truncated) = (flattened.is_some(), flattened == Some(true));
                (image.segments, image.elf) = (segments, Some(elf));
            }
            #[cfg(feature = "kdump")]
            Format::Kdump => {
                let dump = Box::new(Kdump::new(source)?);
                // What is cut off there is no reason to refuse the memory.
                image.kdump_info = dump.vmcoreinfo().ok().flatten().map(Cow::into_owned);
                image.kdump = Some(dump);
            }
            #[allow(unreachable_patterns, reason = "unless a feature is off")]
            _ => return Err(OpenErrorKind::FeatureOff { feature: format.name() }),
        }
        Ok(image)
    }
}
