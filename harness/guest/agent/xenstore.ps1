# Xenstore by XENIFACE's WMI classes, called as its own documentation does (win-xeniface
# WmiDocumentation.txt, src/xeniface.mof). The classes carry the builder's prefix: XenProject, Citrix, ...

$script:PvWmi = 'root\wmi'

function Get-PvWmiObject {
    [Diagnostics.CodeAnalysis.SuppressMessageAttribute('PSAvoidUsingWMICmdlet', '', Justification = 'XENIFACE documents its classes with these commands; nobody has shown Invoke-CimMethod to work on them.')]
    param([string] $Query)
    Get-WmiObject -Namespace $script:PvWmi -Query $Query
}

function Get-PvXenPrefix {
    try {
        $class = @(Get-CimClass -Namespace 'root/wmi' -ClassName '*XenStoreBase')
    } catch {
        if (-not (Test-PvMissingError $_)) {
            throw
        }
        $class = @()
    }
    if ($class.Count -eq 0) {
        Stop-PvOperation 'command-failed' 'XENIFACE offers no xenstore here: its driver is not running'
    }
    $class[0].CimClassName -replace 'XenStoreBase$', ''
}

# A session ends, and its watches with it, only by EndSession: each is opened before a `try` that ends it.
function Open-PvXenSession {
    param([string] $Prefix)
    $base = @(Get-PvWmiObject "SELECT * FROM ${Prefix}XenStoreBase")[0]
    $made = $base.AddSession('pvhck')
    @(Get-PvWmiObject "SELECT * FROM ${Prefix}XenStoreSession WHERE SessionId=$($made.SessionId)")[0]
}

# XENIFACE answers a missing node with an error that says little: whether the parent lists it is certain.
function Assert-PvXenNode {
    param($Session, [string] $Path)
    $path = $Path.TrimEnd('/')
    $cut = $path.LastIndexOf('/')
    $parent = $(if ($cut -gt 0) { $path.Substring(0, $cut) } elseif ($cut -eq 0) { '/' } else { '' })
    try {
        $nodes = Get-PvXenChild $Session $parent
    } catch {
        return # then the first error is what counts
    }
    if ($path.Substring($cut + 1) -notin $nodes) {
        Stop-PvOperation 'not-found' "there is no node $Path"
    }
}

# Full paths there, names here.
function Get-PvXenChild {
    param($Session, [string] $Path)
    $children = $Session.GetChildren($Path).children
    if ($null -ne $children -and $null -ne $children.ChildNodes) {
        $children.ChildNodes | ForEach-Object { ([string] $_ -split '/')[-1] }
    }
}

function Get-PvXenNode {
    param($Session, [string] $Path)
    try {
        $value = [string] $Session.GetValue($Path).value
    } catch {
        if (-not (Test-PvAccessError $_)) {
            Assert-PvXenNode $Session $Path
        }
        throw
    }
    $names = ConvertTo-PvTexts (Get-PvXenChild $Session $Path)
    [Array]::Sort($names, [StringComparer]::Ordinal)
    [ordered]@{ path = $Path; value = $value; children = $names }
}

function Get-PvXenstore {
    param([string] $Path)
    $session = Open-PvXenSession (Get-PvXenPrefix)
    try {
        Get-PvXenNode $session $Path
    } finally {
        $null = $session.EndSession()
    }
}

function Set-PvXenstore {
    param([string] $Path, [string] $Value)
    $session = Open-PvXenSession (Get-PvXenPrefix)
    try {
        $null = $session.SetValue($Path, $Value)
        Get-PvXenNode $session $Path
    } finally {
        $null = $session.EndSession()
    }
}

# Xenstore fires a new watch once by itself. EventId is the path as it was given to SetWatch.
function Wait-PvXenstore {
    param([string] $Path, [long] $Seconds)
    $prefix = Get-PvXenPrefix
    $name = 'pvhck-' + [guid]::NewGuid().ToString('N')
    $session = Open-PvXenSession $prefix
    try {
        Register-PvXenEvent "SELECT * FROM ${prefix}XenStoreWatchEvent WHERE EventId=$(ConvertTo-PvWql $Path)" $name
        $null = $session.SetWatch($Path)
        $until = [datetime]::UtcNow.AddSeconds($Seconds)
        $fired = (Wait-PvXenEvent $name $until) -and (Wait-PvXenEvent $name $until)
    } finally {
        Unregister-Event -SourceIdentifier $name -ErrorAction Ignore
        $null = $session.EndSession()
    }
    [ordered]@{ path = $Path; fired = $fired }
}

function Register-PvXenEvent {
    [Diagnostics.CodeAnalysis.SuppressMessageAttribute('PSAvoidUsingWMICmdlet', '', Justification = 'As Get-PvWmiObject.')]
    param([string] $Query, [string] $Name)
    $null = Register-WmiEvent -Namespace $script:PvWmi -Query $Query -SourceIdentifier $Name
}

function Wait-PvXenEvent {
    param([string] $Name, [datetime] $Until)
    $left = [Math]::Ceiling(($Until - [datetime]::UtcNow).TotalSeconds)
    if ($left -lt 1) {
        return $false
    }
    $seen = Wait-Event -SourceIdentifier $Name -Timeout $left
    if ($null -eq $seen) {
        return $false
    }
    Remove-Event -EventIdentifier $seen.EventIdentifier
    $true
}
